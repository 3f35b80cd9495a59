"""What the experiments behind the statements will take, before the first run."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from normbench.training.budget import total_steps
from normbench.training.run import Run

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig
    from normbench.data import Dataset
    from normbench.plan import PlannedRun

WARM, TIMED = 3, 8
STACKED = 2.5
"""How many times faster an update is in a stack of ten small networks, measured on two cores."""


class Forecast(NamedTuple):
    """Runs that are left, their updates together, and the core-seconds these take."""

    runs: int
    updates: int
    core_seconds: float


def forecast(config: ExperimentConfig, left: Sequence[PlannedRun], dataset: Dataset) -> Forecast:
    """A few updates are timed for every shape of network and batch in the plan.

    left: the planned runs that are not done. The runs at each norm's own best rate, which are not
    known yet, are counted as many as the reporting ones.
    """
    images = dataset.examples(config.data.validation)
    seconds: dict[str, float] = {}
    runs = updates = 0
    spent = 0.0
    for run in left:
        steps = total_steps(run.config, images)
        times = 2 if config.tune is not None and run.role == "report" else 1
        shape = f"{run.norm} {run.config.data.batch_size} {getattr(run.config.model, 'depth', 0)}"
        if shape not in seconds:
            seconds[shape] = _seconds_an_update(Run(run.config, dataset))
        runs, updates = runs + times, updates + times * steps
        spent += times * steps * seconds[shape]
    return Forecast(runs, updates, spent / (STACKED if config.runtime.stack > 1 else 1.0))


def _seconds_an_update(run: Run) -> float:
    run.network.train()
    run.start_epoch()
    start = 0.0
    count = min(WARM + TIMED, run.per_epoch)
    for step in range(count):
        if step == min(WARM, count - 1):
            start = time.perf_counter()
        run.first_loss_step = run.step
        run.update()
    return (time.perf_counter() - start) / max(1, count - min(WARM, count - 1))
