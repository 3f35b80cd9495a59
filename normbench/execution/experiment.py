"""Carries out a whole experiment: plan, run, choose, look, run again.

What is trained next depends on what came out so far, in two ways: runs at each norm's own best
value need the tuning runs, and where seeds come in steps a look says which norms get more of them.
Both are decided by the results on disk alone, so an experiment that is interrupted at any moment
and continued, here or on a cluster, trains the same runs.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from normbench.config import ExperimentConfig, SequentialSeeds
from normbench.constants import OUTCOME_STATES, contender
from normbench.data import Dataset
from normbench.execution.driver import NullObserver, Observer, execute
from normbench.execution.executor import Executor
from normbench.plan import (
    Cell,
    Outcome,
    PlannedRun,
    best_runs,
    cell,
    expand,
    first_rung,
    halved,
    reporting,
    reuse_folders,
    rung_runs,
)
from normbench.store import ExperimentStore

if TYPE_CHECKING:
    from normbench.analysis.halving import Search
    from normbench.analysis.sequential import Race
    from normbench.results.experiment import ExperimentResult

Read = Callable[[], "ExperimentResult"]


@dataclass(frozen=True)
class Round:
    """Runs that can be trained together.

    findings: what the looks before it decided, a sentence a sweep point.
    """

    runs: list[PlannedRun]
    findings: list[str] = field(default_factory=list)


def rounds(experiment: ExperimentConfig, read: Read) -> Iterator[Round]:
    """Every round of an experiment; each is asked for when the one before is trained.

    read: the results of all runs that were given out so far.
    """
    yield Round(expand(experiment))
    told: list[str] = []
    if halved(experiment):
        told = yield from _rungs(experiment, read)
    chosen = None if experiment.tune is None else read().racing
    if chosen is not None:
        yield Round(best_runs(experiment, chosen), told)
    if not isinstance(experiment.seeds, SequentialSeeds):
        return
    need = _first_look(experiment, chosen if halved(experiment) else None)
    while True:
        races = read().judged.races
        had, need = need, needed(need, races)
        if need == had:
            return
        runs = (
            reporting(experiment, need) if chosen is None else best_runs(experiment, chosen, need)
        )
        new = [run for run in runs if run.seed >= had[_racer(run, halved(experiment))]]
        yield Round(new, findings(races, list(experiment.sweep)))


def _rungs(experiment: ExperimentConfig, read: Read) -> Generator[Round, None, list[str]]:
    """Every rung of a search by halving but the first; returns what the last one found."""
    assert experiment.tune is not None
    trained: dict[Cell, int] = {}
    first = first_rung(experiment)
    while True:
        searches = read().searches
        told = [_still_in(experiment.tune.key, *item) for item in searches.items()]
        left = {
            at: (() if search.ended else search.values, trained.get(at, first), search.seeds)
            for at, search in searches.items()
        }
        trained |= {at: count for at, (_, _, count) in left.items()}
        runs = rung_runs(experiment, left)
        if not runs:
            return told
        yield Round(runs, told)


def _still_in(key: str, at: Cell, search: Search) -> str:
    """The values that are left to a norm, in words."""
    values = ", ".join(f"{value:g}" for value in search.values)
    where = "".join(f" at {value}" for value in at[1])
    if not search.ended:
        return f"{at[0]}{where}: {key} {values} go on to {search.seeds} seeds"
    return f"{at[0]}{where}: {key} {values} race" if values else f"{at[0]}{where}: no run ended"


def _first_look(
    experiment: ExperimentConfig, racing: Mapping[Cell, Sequence[float]] | None
) -> dict[Cell, int]:
    """The seeds of the first look for whatever races: norms, or norms at several values."""
    names = {
        at: [at[0]] if racing is None else [contender(at[0], value) for value in racing.get(at, ())]
        for sweep_point in experiment.sweep_points()
        for norm in experiment.labels
        for at in [cell(norm, sweep_point)]
    }
    first = len(experiment.first_seeds)
    return {(name, values): first for (_, values), own in names.items() for name in own}


def _racer(run: PlannedRun, several: bool) -> Cell:
    """What a run is of: its norm, or its norm at one of several values that race."""
    value = next(iter((run.tuned or {}).values()), 0.0)
    return cell(contender(run.norm, value) if several else run.norm, run.sweep_point)


def needed(had: Mapping[Cell, int], races: Mapping[tuple[Any, ...], Race]) -> dict[Cell, int]:
    """How many seeds each norm should have at each sweep point, never fewer than it has."""
    return {
        (norm, values): max(count, races[values].need.get(norm, 0)) if values in races else count
        for (norm, values), count in had.items()
    }


def findings(races: Mapping[tuple[Any, ...], Race], keys: Sequence[str]) -> list[str]:
    """What each race has come to, a sentence a sweep point."""
    sentences = []
    for values, race in races.items():
        where = ", ".join(f"{key}={value}" for key, value in zip(keys, values, strict=True))
        lead = f"{where}: " if where else ""
        out = [norm for norm in race.need if norm not in race.racing]
        if race.look < 0:
            continue
        text = f"{lead}look {race.look + 1}"
        text += f", out: {', '.join(out)}" if out else ", nobody is out"
        on = ", ".join(race.racing)
        if race.ended:
            text += f"; ended with {on} ({race.ended})"
        else:
            text += f"; {on} go on to {max(race.need.values())} seeds"
        sentences.append(text)
    return sentences


def carry_out(
    experiment: ExperimentConfig,
    store: ExperimentStore,
    dataset: Dataset,
    executor: Executor,
    *,
    watch: Observer | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    accept_changes: bool = False,
    planned: Callable[[], None] = lambda: None,
    affords: Callable[[Sequence[PlannedRun]], bool] = lambda _: True,
) -> ExperimentResult:
    """Train every run of an experiment that is not done, and put on record what was looked at.

    planned: is told whenever a round is about to be trained. affords: is asked before every round
    whether those of its runs that are not done may be trained; if not, it ends there, in good
    order. The rest as for ``execute``, whose errors it raises. The result's ``outcome`` tells what
    became of the runs.
    """
    watch = watch or NullObserver()
    outcome = Outcome()
    record = _Record(experiment, store)
    for this in rounds(experiment, record.read):
        if this.findings:
            watch.looked(this.findings)
        plan = record.settled(this.runs)
        afforded = affords(plan)
        if not afforded and record.done:
            break
        record.done += plan
        if not afforded:  # not even the first round: it stays on record as what was asked for
            break
        if any(not store.run(run.folder).done for run in plan):
            record.write()
            planned()
        outcome += execute(
            plan,
            store,
            dataset,
            executor,
            watch=watch,
            should_stop=should_stop,
            accept_changes=accept_changes,
        )
        if outcome.stopped:
            record.write()
            return replace(record.read(probes=True), outcome=outcome)
    results, final = record.close()
    if final:
        watch.looked(final)
    return replace(results, outcome=outcome)


def what_is_left(
    experiment: ExperimentConfig, store: ExperimentStore
) -> tuple[list[PlannedRun], list[PlannedRun], bool]:
    """What ``carry_out`` would do, as far as it can be told now; nothing is written.

    Returns (runs known to be needed, those of them that are not done, whether more may follow).
    """
    record = _Record(experiment, store)
    for this in rounds(experiment, record.read):
        plan = record.add(this.runs)
        left = [run for run in plan if not store.run(run.folder).done]
        if left:
            in_steps = len(experiment.first_seeds) < len(experiment.seed_list)
            tuned = experiment.tune is not None and not any(run.role == "best" for run in plan)
            return record.done, left, tuned or in_steps
    return record.done, [], False


def so_far(experiment: ExperimentConfig, store: ExperimentStore) -> ExperimentResult | None:
    """The results there are of this very experiment, under any of its seeds; None without any.

    Where own best values are searched by halving, those that follow from what is on record.
    """
    if halved(experiment):
        return _replayed(experiment, store)
    record = _Record(experiment, store)
    need = {
        cell(norm, sweep_point): len(experiment.seed_list)
        for sweep_point in experiment.sweep_points()
        for norm in experiment.labels
    }
    others = [run for run in expand(experiment) if run.role != "report"]
    record.add([*others, *reporting(experiment, need)])
    earlier = record.read()
    ended = earlier.results.runs["state"].isin(OUTCOME_STATES)
    return earlier if ended.any() else None


def _replayed(experiment: ExperimentConfig, store: ExperimentStore) -> ExperimentResult | None:
    """What the rounds on disk have come to; None before anything ran at an own best value."""
    record = _Record(experiment, store)
    for this in rounds(experiment, record.read):
        if not all(store.run(run.folder).done for run in record.add(this.runs)):
            break
    earlier = record.read()
    ended = earlier.results.runs["state"].isin(OUTCOME_STATES)
    return earlier if (ended & (earlier.results.runs["role"] == "best")).any() else None


class _Record:
    """The plan so far: what is written, and read back as results."""

    def __init__(self, experiment: ExperimentConfig, store: ExperimentStore):
        self.experiment, self.store = experiment, store
        self.config, self.given = experiment.resolved(), experiment.given()
        self.done: list[PlannedRun] = []

    def add(self, runs: Sequence[PlannedRun]) -> list[PlannedRun]:
        """Take these runs into the plan, and return them as ``settled`` does."""
        plan = self.settled(runs)
        self.done += plan
        return plan

    def settled(self, runs: Sequence[PlannedRun]) -> list[PlannedRun]:
        """The runs in the folders that they have, or will have."""
        return reuse_folders(runs, [*self.store.folders(), *(run.folder for run in self.done)])

    def read(self, *, probes: bool = False) -> ExperimentResult:
        """The results of the plan so far, whatever is on record."""
        from normbench.results.experiment import ExperimentResult
        from normbench.store import read_results

        runs = [run.record() for run in self.done]
        plan = self.store.plan(self.config, runs, given=self.given)
        at = (self.store.results, self.store.name)
        return ExperimentResult(read_results(*at, probes=probes, plan=plan))

    def write(self, **told: Any) -> None:
        """Put the plan so far on record."""
        runs = [run.record() for run in self.done]
        self.store.write_plan(self.config, runs, given=self.given, **told)

    def close(self) -> tuple[ExperimentResult, list[str]]:
        """Put on record what is now looked at; the results, and what the last look decided."""
        result = self.read(probes=True)
        if not result.has_targets:  # of pilot runs that were not made, or all failed
            self.write()
            return result, []
        tables, keys = result.judged, list(self.experiment.sweep)
        runs = tables.results.runs
        seen = runs.loc[runs["state"].isin(OUTCOME_STATES), "seed"].nunique()
        looked_at, design = result.looked_at, self.config["seeds"]
        if seen and isinstance(design, dict) and self.store.looked_by() == design:
            looked_at = looked_at[:-1]  # the next looks of one design, as they stand beforehand
        if seen and looked_at[-1:] != (seen,):
            looked_at = (*looked_at, seen)
        told: dict[str, Any] = {"looked_at": list(looked_at), "looked_by": design}
        if tables.looks:
            told["looks"] = {
                "seeds": list(tables.looks.seeds),
                "alpha": list(tables.looks.alpha),
                "points": [
                    {
                        "point": dict(zip(keys, values, strict=True)),
                        "look": race.look,
                        "racing": list(race.racing),
                        "seeds": dict(race.need),
                        "ended": race.ended,
                    }
                    for values, race in tables.races.items()
                ],
            }
        self.write(**told)
        results = replace(result.results, looked_at=looked_at)
        return replace(result, results=results), findings(tables.races, keys)
