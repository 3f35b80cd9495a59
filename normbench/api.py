"""What a notebook uses, and what the command line is a thin shell around.

import normbench as nb
result = nb.train("configs/digits.yaml")
result.convergence            # a DataFrame
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from normbench.comparison import Comparison
from normbench.errors import ConfigError, Problem
from normbench.interrupts import Interrupts
from normbench.store import ExperimentStore, read_results

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig
    from normbench.data import Dataset
    from normbench.data.catalog import Note, Progress
    from normbench.execution import Watch
    from normbench.plan import PlannedRun

RESULTS = Path("results")


def load_config(
    config: str | Path | ExperimentConfig | None = None,
    *,
    overrides: Sequence[str] = (),
    sweeps: Sequence[str] = (),
) -> ExperimentConfig:
    """The experiment of a YAML file, of a bundled config by its name, or the bundled digits one.

    overrides: ``key=value``; sweeps: ``key=value,value``, both by the YAML rules. Raises
    ConfigError with every mistake at once.
    """
    from normbench.config import ExperimentConfig, find_config, load

    if isinstance(config, ExperimentConfig):
        if overrides or sweeps:
            raise TypeError("overrides and sweeps go with a file, not with a finished config")
        return config
    return load(find_config(str(config) if config is not None else None), overrides, sweeps)


def prepare_data(
    experiment: ExperimentConfig,
    data_dir: str | Path | None = None,
    *,
    progress: Progress = lambda *_: None,
    note: Note = lambda _: None,
) -> Dataset:
    """Fetch, check and memory-map the experiment's dataset. Raises DataError."""
    from normbench.data import prepare

    return prepare(
        experiment.data.dataset,
        data_dir=Path(data_dir) if data_dir is not None else None,
        options=experiment.data.options(),
        progress=progress,
        note=note,
    )


def default_jobs(experiment: ExperimentConfig) -> int:
    """As many runs at a time as fill the cores."""
    return max(1, (os.cpu_count() or 1) // experiment.runtime.threads)


def train(
    config: str | Path | ExperimentConfig | None = None,
    *,
    overrides: Sequence[str] = (),
    results: str | Path = RESULTS,
    data_dir: str | Path | None = None,
    jobs: int | None = None,
    fresh: bool = False,
    watch: Watch | None = None,
    progress: Progress = lambda *_: None,
    note: Note = lambda _: None,
) -> Comparison:
    """Train every run of an experiment that is not done yet, and compare the norms.

    config: a path, the name of a bundled config, or an ``ExperimentConfig``; None is the bundled
    digits experiment. overrides: ``key=value``. results: the results folder. data_dir: where
    datasets are. jobs: runs at a time, by default as many as fill the cores. fresh: forget earlier
    results of the same runs. watch, progress, note: see what happens.

    Ctrl-C or SIGTERM lets every running run finish its step and checkpoint; the result's
    ``outcome.stopped`` tells. Raises ConfigError, DataError, StoreError.
    """
    from normbench.execution import LocalEngine, Outcome, Silent, execute
    from normbench.plan import best_runs, expand

    experiment = load_config(config, overrides=overrides)
    dataset = prepare_data(experiment, data_dir, progress=progress, note=note)
    plan = expand(experiment)
    check_fit(plan, dataset)
    place = (Path(results), experiment.name)
    store = ExperimentStore(*place)
    store.lock()
    engine = LocalEngine(jobs or default_jobs(experiment))
    outcome = Outcome()
    try:
        with Interrupts(kill=engine.close) as interrupts:
            done: list[PlannedRun] = []
            while plan:
                done += plan
                store.write_plan(experiment.resolved(), [run.record() for run in done])
                outcome += execute(
                    plan,
                    store,
                    dataset,
                    engine,
                    fresh=fresh,
                    watch=watch or Silent(),
                    should_stop=interrupts.requested,
                )
                if outcome.stopped or any(run.role == "best" for run in plan):
                    break
                # What each norm's own best value is, only the tuning runs can tell.
                plan = best_runs(experiment, Comparison(read_results(*place)).chosen)
        outcome.signal = interrupts.signal
    finally:
        engine.close()
        store.unlock()
    return Comparison(read_results(*place), outcome)


def compare(name: str, *, results: str | Path = RESULTS) -> Comparison:
    """The tables of an experiment that was trained before. Raises StoreError."""
    return Comparison(read_results(Path(results), name))


def check_fit(plan: Sequence[PlannedRun], dataset: Dataset) -> None:
    """Raise ConfigError when the data has too few images for a run's split or batch."""
    from normbench.data import split
    from normbench.seeding import stream
    from normbench.training.budget import total_steps

    sizes = {(run.config.data.validation, run.config.data.batch_size): run.config for run in plan}
    for (validation, _), config in sizes.items():
        try:
            train, _ = split(dataset.train_labels, validation, stream(0, "split"))
        except ValueError as error:
            raise ConfigError([Problem("data.validation", str(error))]) from None
        total_steps(config, len(train))
