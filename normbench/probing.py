"""How signals pass through the networks of an experiment: as measured, and as theory says."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import pandas as pd

from normbench.analysis import propagation
from normbench.config.grid import expand
from normbench.errors import ConfigError, Problem
from normbench.execution.fit import check_fit
from normbench.measure.signals import inspect_all, theory_inputs
from normbench.models.assemble import anatomy
from normbench.plan import PlannedRun

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig
    from normbench.data import Dataset

LANDSCAPE_STEPS = 60

Told = Callable[[int, int], None]


def measured(
    experiment: ExperimentConfig,
    dataset: Dataset,
    *,
    seeds: int,
    steps: int | None,
    landscape: bool,
    gradient: Literal["loss", "independent"] | None,
    progress: Told = lambda *_: None,
) -> propagation.Propagation:
    """See ``api.probe``."""
    plan, points = _plan(experiment, seeds)
    _check(plan, dataset)
    last = _last_step(plan, dataset, steps, landscape)
    signals, around = inspect_all(
        [(points.index(dict(run.sweep_point)), run.norm, run.config) for run in plan],
        dataset,
        signals_at={0, last},
        landscape_at={0, last // 4, last // 2, last} if landscape else (),
        gradient=gradient or ("loss" if last else "independent"),
        progress=lambda done: progress(done, len(plan)),
    )
    return propagation.Propagation(
        experiment.name,
        list(experiment.sweep),
        propagation.table(pd.DataFrame(signals), points),
        propagation.landscape_table(pd.DataFrame(around), points) if around else pd.DataFrame(),
    )


def expected(
    experiment: ExperimentConfig, dataset: Dataset, *, seeds: int, progress: Told = lambda *_: None
) -> propagation.Propagation:
    """See ``api.theory``: of the weights that each seed draws, and the first batch that it sees."""
    from normbench.training.run import Run
    from normbench.training.settings import compute_on, kept

    plan, points = _plan(experiment, seeds)
    _check(plan, dataset)
    rows = []
    with kept():
        for done, run in enumerate(plan):
            progress(done, len(plan))
            compute_on(run.config.runtime)
            started = Run(run.config, dataset)
            started.start_epoch()
            sweep_point = points.index(dict(run.sweep_point))
            known = vars(theory_inputs(started))
            rows.append({"sweep_point": sweep_point, "norm": run.norm, "theory_inputs": known})
        progress(len(plan), len(plan))
    table = propagation.theory_table(pd.DataFrame(rows), points)
    return propagation.Propagation(experiment.name, list(experiment.sweep), table)


def _plan(
    experiment: ExperimentConfig, seeds: int
) -> tuple[list[PlannedRun], list[dict[str, object]]]:
    known, points = experiment.seed_list, experiment.sweep_points()
    plan = [
        PlannedRun(norm, sweep_point, seed, here.run({}, norm, seed))
        for sweep_point in points
        for here in [experiment.at(sweep_point)]
        for norm in experiment.labels
        for seed in [*known, *expand(seeds, max(known))][:seeds]
    ]
    return plan, points


def _check(plan: Sequence[PlannedRun], dataset: Dataset) -> None:
    """Raise ConfigError where a run's config does not fit, or there is nothing to measure."""
    check_fit(plan, dataset)
    for run in plan:
        if not anatomy(run.config.model.blueprint(), dataset.image_shape).layers:
            message = "there is no layer to look into: no Linear or Conv stands before its head"
            raise ConfigError([Problem("model", message)])


def _last_step(
    plan: Sequence[PlannedRun], dataset: Dataset, steps: int | None, landscape: bool
) -> int:
    """How far to train before the last look. Raises ConfigError beyond a run's budget."""
    from normbench.training.budget import total_steps

    budget = min(
        total_steps(run.config, dataset.examples(run.config.data.validation)) for run in plan
    )
    if steps is None:
        return min(LANDSCAPE_STEPS, budget) if landscape else 0
    if steps > budget:
        message = f"the budget is {budget} steps, which --steps {steps} goes beyond"
        hint = f"a learning rate schedule depends on the budget: --set training.steps={steps}"
        raise ConfigError([Problem("training", message, hint)])
    return steps
