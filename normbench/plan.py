"""Which runs an experiment needs: norms x sweep points x seeds, each with a stable identity."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from normbench.config import ExperimentConfig, PilotTarget, RunConfig
from normbench.constants import contender, rungs
from normbench.store import ExperimentStore
from normbench.store.run import point_label, run_name

Role = Literal["report", "pilot", "tune", "best"]

Cell = tuple[str, tuple[Any, ...]]
"""A norm, and the values of the sweep keys as tables show them."""


@dataclass(frozen=True)
class PlannedRun:
    """One run and why it is made.

    role: "report" for the tables; "pilot" to set a target; "tune" to choose a tuned value; "best"
    for the table at each norm's own best value. sweep_point: the sweep values; tuned: the tuned
    values, empty unless the role is "tune" or "best". stored: the folder that holds this very run
    already, perhaps under another sweep or in another role.
    """

    norm: str
    sweep_point: Mapping[str, Any]
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
        values = {**self.sweep_point, **(self.tuned or {})}
        return run_name(self.norm, values, self.seed, self.identity)

    @property
    def stored_identity(self) -> str:
        """The identity that ends the folder's name: that of an earlier version in its folder."""
        earlier = self.config.earlier_identity()
        return earlier if self.folder.endswith(earlier[:8]) else self.identity

    def record(self) -> dict[str, Any]:
        """What the store keeps of the plan."""
        return {
            "folder": self.folder,
            "norm": self.norm,
            "method": self.config.method_sha256(),
            "point": dict(self.sweep_point),
            "tuned": dict(self.tuned or {}),
            "seed": self.seed,
            "role": self.role,
            "context": self.config.context(),
        }


@dataclass
class Outcome:
    """What became of a plan, in runs.

    failed: each with its reason. stopped: interrupted before the end, by ``signal``.
    """

    skipped: int = 0
    finished: int = 0
    diverged: int = 0
    failed: list[tuple[PlannedRun, str]] = field(default_factory=list)
    stopped: bool = False
    signal: int | None = None

    def __add__(self, other: Outcome) -> Outcome:
        """Two plans carried out one after the other."""
        return Outcome(
            self.skipped + other.skipped,
            self.finished + other.finished,
            self.diverged + other.diverged,
            self.failed + other.failed,
            self.stopped or other.stopped,
            self.signal or other.signal,
        )


def expand(experiment: ExperimentConfig) -> list[PlannedRun]:
    """Every run that can be planned before anything is trained.

    So without the runs at own best values, and without the seeds that a later look may ask for.
    Ordered by seed before norm, so that what is on disk when a long experiment is interrupted
    already pairs up.
    """
    # Where a search by halving leaves two values to each norm, nothing stands at a shared one.
    shared = [] if halved(experiment) else reporting(experiment)
    return [*_pilots(experiment), *_tuning(experiment), *shared]


def _pilots(experiment: ExperimentConfig) -> Iterator[PlannedRun]:
    """The target comes from the config as it is written, whatever is swept."""
    if isinstance(experiment.target, PilotTarget):
        norm = experiment.target.norm
        for seed in experiment.pilot_seeds:
            yield PlannedRun(norm, {}, seed, experiment.run({}, norm, seed), "pilot")


def reporting(
    experiment: ExperimentConfig, need: Mapping[Cell, int] | None = None
) -> list[PlannedRun]:
    """The runs for the tables at the values that the config gives.

    need: how many seeds a norm takes at a sweep point; by default all, and of seeds in steps those
    of the first look.
    """
    return [
        PlannedRun(norm, sweep_point, seed, here.run({}, index, seed))
        for sweep_point in experiment.sweep_points()
        for here in [experiment.at(sweep_point)]
        for seed, index, norm in _seeds_before_norms(experiment, sweep_point, need)
    ]


def _tuning(experiment: ExperimentConfig) -> Iterator[PlannedRun]:
    """Of a search by halving the first rung."""
    if experiment.tune is None:
        return
    labels = experiment.labels
    for sweep_point in experiment.sweep_points():
        for value in experiment.tune.values:
            tuned = {experiment.tune.key: value}
            here = experiment.at({**sweep_point, **tuned})
            for seed in experiment.tune_seeds[: first_rung(experiment)]:
                for index, norm in enumerate(labels):
                    yield PlannedRun(
                        norm, sweep_point, seed, here.run({}, index, seed), "tune", tuned
                    )


def halved(experiment: ExperimentConfig) -> bool:
    """Whether each norm's own best value is searched by halving."""
    return experiment.tune is not None and experiment.tune.search == "halving"


def first_rung(experiment: ExperimentConfig) -> int:
    """The tuning seeds on which every value of the grid is tried."""
    if experiment.tune is None or not halved(experiment):
        return len(experiment.tune_seeds)
    return rungs(len(experiment.tune.values), len(experiment.tune_seeds))[0].seeds


def rung_runs(
    experiment: ExperimentConfig, left: Mapping[Cell, tuple[Sequence[Any], int, int]]
) -> list[PlannedRun]:
    """More tuning runs of the values that are still in a search by halving.

    left: those values, on how many of the tuning seeds each was trained, and should be.
    """
    if experiment.tune is None:
        return []
    runs = []
    grid = {value: value for value in experiment.tune.values}
    for sweep_point in experiment.sweep_points():
        for index, norm in enumerate(experiment.labels):
            values, had, count = left[cell(norm, sweep_point)]
            for value in values:
                tuned = {experiment.tune.key: grid[value]}
                here = experiment.at({**sweep_point, **tuned})
                runs += [
                    PlannedRun(norm, sweep_point, seed, here.run({}, index, seed), "tune", tuned)
                    for seed in experiment.tune_seeds[had:count]
                ]
    return sorted(runs, key=lambda run: run.seed)


def best_runs(
    experiment: ExperimentConfig,
    chosen: Mapping[Cell, Any],
    need: Mapping[Cell, int] | None = None,
) -> list[PlannedRun]:
    """The reporting runs at each norm's own best value.

    chosen: the tuned value, as ``analysis.tuning`` found it, or several of them that race, as a
    tuple. need: as for ``reporting``; where several race by their names (``contender``).
    """
    if experiment.tune is None:
        return []
    key = experiment.tune.key
    # A table's column of whole and broken numbers holds 32.0; what the config says is 32.
    grid = {value: value for value in experiment.tune.values}
    first = len(experiment.first_seeds)
    runs = []
    for sweep_point in experiment.sweep_points():
        racing = []
        for index, norm in enumerate(experiment.labels):
            own = chosen.get(cell(norm, sweep_point), ())
            several = isinstance(own, tuple)
            for value in own if several else (own,):
                tuned = {key: grid[value]}
                name = contender(norm, value) if several else norm
                count = first if need is None else need[cell(name, sweep_point)]
                racing.append((norm, index, tuned, experiment.at({**sweep_point, **tuned}), count))
        runs += [
            PlannedRun(norm, sweep_point, seed, here.run({}, index, seed), "best", tuned)
            for nth, seed in enumerate(experiment.seed_list)
            for norm, index, tuned, here, count in racing
            if nth < count
        ]
    return runs


def cell(norm: str, sweep_point: Mapping[str, Any]) -> Cell:
    """A norm at a sweep point, with the values as tables show them."""
    return norm, tuple(point_label(value) for value in sweep_point.values())


def _seeds_before_norms(
    experiment: ExperimentConfig, sweep_point: Mapping[str, Any], need: Mapping[Cell, int] | None
) -> Iterator[tuple[int, int, str]]:
    """(seed, index of the norm, norm): what is on disk at any moment already pairs up."""
    first = len(experiment.first_seeds)
    for count, seed in enumerate(experiment.seed_list):
        for index, norm in enumerate(experiment.labels):
            if count < (first if need is None else need[cell(norm, sweep_point)]):
                yield seed, index, norm


def reuse_folders(plan: Sequence[PlannedRun], folders: Iterable[str]) -> list[PlannedRun]:
    """The same plan, each run in the folder it has already, if it has one.

    A run is known by its identity, which ends its folder's name: what was trained in another sweep
    or role, or is planned in two, is trained once. So is what an earlier version trained, whose
    identities also held keys that change no number.
    """
    known = {folder.rpartition("-")[2]: folder for folder in folders}
    settled = []
    for run in plan:
        if run.identity[:8] not in known:
            earlier = known.get(run.config.earlier_identity()[:8])
            known[run.identity[:8]] = earlier or run.folder
        settled.append(replace(run, stored=known[run.identity[:8]]))
    return settled


def unfinished(experiment: ExperimentConfig, results: str | Path) -> list[PlannedRun]:
    """The runs that can be planned now and are not done in the results folder."""
    store = ExperimentStore(Path(results), experiment.name)
    planned = reuse_folders(expand(experiment), store.folders())
    return [run for run in planned if not store.run(run.folder).done]
