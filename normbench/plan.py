"""Which runs an experiment needs: norms x sweep points x seeds, each with a stable identity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from normbench.config import ExperimentConfig, PilotTarget, RunConfig
from normbench.store import ExperimentStore
from normbench.store.run import point_label, run_name

Role = Literal["report", "pilot", "tune", "best"]


@dataclass(frozen=True)
class PlannedRun:
    """One run and why it is made.

    role: "report" for the tables; "pilot" to set a target; "tune" to choose a tuned value; "best"
    for the table at each norm's own best value. point: the sweep values; tuned: the tuned values,
    empty unless the role is "tune" or "best". stored: the folder that holds this very run already,
    perhaps under another sweep or in another role.
    """

    norm: str
    point: Mapping[str, Any]
    seed: int
    config: RunConfig
    role: Role = "report"
    tuned: Mapping[str, Any] | None = None
    stored: str | None = None

    @cached_property
    def identity(self) -> str:
        """SHA-256 over what determines the run's numbers."""
        return self.config.identity()

    @property
    def folder(self) -> str:
        """The name of the run's folder inside the experiment's."""
        if self.stored is not None:
            return self.stored
        values = {**self.point, **(self.tuned or {})}
        return run_name(self.norm, values, self.seed, self.identity)

    def record(self) -> dict[str, Any]:
        """What the store keeps of the plan."""
        return {
            "folder": self.folder,
            "norm": self.norm,
            "method": self.config.method_sha256(),
            "point": dict(self.point),
            "tuned": dict(self.tuned or {}),
            "seed": self.seed,
            "role": self.role,
            "context": self.config.context(),
        }


def expand(experiment: ExperimentConfig) -> list[PlannedRun]:
    """Every run that can be planned before anything is trained.

    Ordered by seed before norm, so that what is on disk when a long experiment is interrupted
    already pairs up.
    """
    return [*_pilots(experiment), *_tuning(experiment), *_reporting(experiment)]


def _pilots(experiment: ExperimentConfig) -> Iterator[PlannedRun]:
    """The target comes from the config as it is written, whatever is swept."""
    if isinstance(experiment.target, PilotTarget):
        norm = experiment.target.norm
        for seed in experiment.pilot_seeds:
            yield PlannedRun(norm, {}, seed, experiment.run({}, norm, seed), "pilot")


def _reporting(experiment: ExperimentConfig) -> Iterator[PlannedRun]:
    labels = experiment.labels
    for point in experiment.points():
        here = experiment.at(point)
        for seed in experiment.seed_list:
            for index, norm in enumerate(labels):
                yield PlannedRun(norm, point, seed, here.run({}, index, seed))


def _tuning(experiment: ExperimentConfig) -> Iterator[PlannedRun]:
    if experiment.tune is None:
        return
    labels = experiment.labels
    for point in experiment.points():
        for value in experiment.tune.values:
            tuned = {experiment.tune.key: value}
            here = experiment.at({**point, **tuned})
            for seed in experiment.tune_seeds:
                for index, norm in enumerate(labels):
                    yield PlannedRun(norm, point, seed, here.run({}, index, seed), "tune", tuned)


def best_runs(
    experiment: ExperimentConfig, chosen: Mapping[tuple[str, tuple[Any, ...]], Any]
) -> list[PlannedRun]:
    """The reporting runs at each norm's own best value.

    chosen: (norm, values of the sweep keys) -> the tuned value, as ``analysis.tuning`` found it.
    """
    if experiment.tune is None:
        return []
    return [
        PlannedRun(norm, point, seed, here.run({}, index, seed), "best", tuned)
        for point in experiment.points()
        for index, norm in enumerate(experiment.labels)
        for place in [(norm, tuple(point_label(value) for value in point.values()))]
        if place in chosen
        for tuned in [{experiment.tune.key: chosen[place]}]
        for here in [experiment.at({**point, **tuned})]
        for seed in experiment.seed_list
    ]


def settle(plan: Sequence[PlannedRun], folders: Iterable[str]) -> list[PlannedRun]:
    """The same plan, each run in the folder it has already, if it has one.

    A run is known by its identity, which ends its folder's name: what was trained in another sweep
    or role, or is planned in two, is trained once.
    """
    known = {folder.rpartition("-")[2]: folder for folder in folders}
    return [replace(run, stored=known.setdefault(run.identity[:8], run.folder)) for run in plan]


def unfinished(experiment: ExperimentConfig, results: str | Path) -> list[PlannedRun]:
    """The runs that can be planned now and are not done in the results folder."""
    store = ExperimentStore(Path(results), experiment.name)
    planned = settle(expand(experiment), store.folders())
    return [run for run in planned if not store.run(run.folder).done]
