"""Makes an ordinary experiment out of a config and a budget: a search of learning rates by halving,
then a race of each norm's best to the best set. ``analysis.halving`` decides what is afforded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import from_json

from normbench.analysis.halving import FEWEST_PAIRS, Design, design
from normbench.config import ExperimentConfig
from normbench.config.errors import dotted
from normbench.config.experiment import read
from normbench.data import Dataset
from normbench.errors import ConfigError, Problem
from normbench.execution.estimate import estimate
from normbench.plan import PlannedRun
from normbench.store import ExperimentStore
from normbench.store.files import to_json

RATE = "optimizer.lr"
SUFFIX = "-recommend"
FACTOR = 10**0.5
"""Between neighbours on a grid of learning rates."""

_BUDGET = re.compile(r"([0-9]*\.?[0-9]+)\s*(s|sec|m|min|h|runs?)\Z")
_SECONDS = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_EXAMPLES = "for example  10m  or  2h  (one core for so long),  or  200runs"


@dataclass(frozen=True)
class Budget:
    """What may be spent: so many runs, or seconds of one core. text: as it was given."""

    text: str
    amount: float
    runs: bool = False


def parse_budget(text: str) -> Budget:
    """``10m``, ``90s``, ``2h`` of one core, or ``40 runs``. Raises ConfigError."""
    match = _BUDGET.match(text.strip().lower())
    amount = float(match[1]) if match else 0.0
    if match is None or not amount:
        problem = f"{text!r} is not a time or a number of runs"
        raise ConfigError([Problem("budget", problem, _EXAMPLES)])
    if match[2].startswith("run"):
        return Budget(text.strip(), amount, runs=True)
    return Budget(text.strip(), amount * _SECONDS[match[2]])


@dataclass
class Purse:
    """What a budget has left, by the runs of an experiment that are on disk.

    seconds: what a run of each norm takes of one core, as far as was timed; measured ones go before
    it. refused: the runs of the round that there was nothing left for. folders: of the runs of all
    rounds so far.
    """

    budget: Budget
    store: ExperimentStore
    seconds: Mapping[str, float] = field(default_factory=dict)
    refused: int = 0
    folders: set[str] = field(default_factory=set)

    def affords(self, plan: Sequence[PlannedRun]) -> bool:
        """Whether those of the next round's runs that are not done can be paid for as well."""
        runs = [run for run in plan if not self.store.run(run.folder).done]
        done = {run.folder for run in plan} - {run.folder for run in runs}
        self.folders |= done
        spent, took = self._spent()
        if self.budget.runs:
            cost = float(len(runs))
        else:
            known = [*took.values(), *self.seconds.values()]
            usual = sum(known) / len(known) if known else 0.0
            cost = sum(took.get(run.norm, self.seconds.get(run.norm, usual)) for run in runs)
        if not runs or spent + cost <= self.budget.amount:
            self.folders |= {run.folder for run in runs}
            return True
        self.refused = len(runs)
        return False

    @property
    def each(self) -> float:
        """Seconds of one core that a run takes, NaN before anything is known."""
        known = self._spent()[1] or self.seconds
        return sum(known.values()) / len(known) if known else float("nan")

    @property
    def spent(self) -> float:
        """Runs, or seconds of one core, that the experiment has taken so far."""
        return self._spent()[0]

    def _spent(self) -> tuple[float, dict[str, float]]:
        """What was spent, and the mean of a norm's run that has ended, in seconds of one core."""
        times: dict[str, list[float]] = {}
        runs = 0
        for folder in self.folders:
            manifest = self.store.run(folder).read_manifest() or {}
            clock = [manifest.get(f"{part}_seconds") for part in ("train", "evaluate", "probe")]
            if manifest.get("state") not in ("finished", "diverged"):
                continue
            runs += 1
            took = sum(seconds for seconds in clock if seconds is not None)
            times.setdefault(manifest["norm"], []).append(took * (manifest.get("threads") or 1))
        means = {norm: sum(own) / len(own) for norm, own in times.items()}
        total = sum(sum(own) for own in times.values())
        return (float(runs) if self.budget.runs else total), means


def plan_within(
    experiment: ExperimentConfig,
    budget: Budget,
    dataset: Dataset,
    store: ExperimentStore,
    *,
    fresh: bool = False,
) -> tuple[ExperimentConfig, Purse]:
    """The experiment to carry out, and its purse.

    One of that name that was begun under the same config goes on as it was designed, whatever the
    budget is now: a design that follows what was seen would be peeking. fresh: not so.

    Raises ConfigError where the config does not compare norms at one point, or the budget affords
    no comparison.
    """
    wrong = []
    if experiment.sweep:
        hint = "choose a value: --set sweep={} --set " + f"{next(iter(experiment.sweep))}=..."
        wrong.append(Problem("sweep", "a recommendation is for one network, not for several", hint))
    if len(experiment.labels) < 2:
        wrong.append(Problem("norms", "there is one norm only, so nothing is compared"))
    if wrong:
        raise ConfigError(wrong)
    name = name_of(experiment)
    begun = None if fresh else _begun(experiment, name, store)
    if begun is not None:
        return begun, Purse(budget, store)
    seconds: dict[str, float] = {}
    amount = budget.amount
    if not budget.runs:
        seconds = _seconds(experiment, dataset)
        # A tenth is kept, for what is timed on a few steps is not what a run takes.
        amount = 0.9 * budget.amount / (sum(seconds.values()) / len(seconds))
    norms, pilots = len(experiment.labels), len(experiment.pilot_seeds)
    given = experiment.tune.values if experiment.tune else None
    designed = design(max(0, int(amount) - pilots), norms, len(given) if given else None)
    if designed is None:
        least = norms * FEWEST_PAIRS + pilots
        enough = f"{least} runs"
        if not budget.runs:
            enough += f", about {least * sum(seconds.values()) / norms / 54:.1f}m"
        problem = f"{budget.text} affords no comparison of {norms} norms"
        raise ConfigError([Problem("budget", problem, f"the least is {enough}")])
    return _designed(experiment, name, designed), Purse(budget, store, seconds)


def name_of(experiment: ExperimentConfig) -> str:
    """What the experiment of a recommendation is called, and its folder."""
    return experiment.name[: 64 - len(SUFFIX)] + SUFFIX


def grid_around(rate: float, values: int) -> list[float]:
    """Learning rates half a decade apart, the config's own in the middle, two digits each."""
    half = values // 2
    return [float(f"{rate * FACTOR**step:.2g}") for step in range(-half, values - half)]


def _seconds(experiment: ExperimentConfig, dataset: Dataset) -> dict[str, float]:
    """Norm -> seconds of one core that a run of it takes, from a few timed steps."""
    runs = [
        PlannedRun(norm, {}, 0, experiment.run({}, index, 0))
        for index, norm in enumerate(experiment.labels)
    ]
    frame = estimate(runs, dataset, 1)
    threads = experiment.runtime.threads
    return {row["norm"]: row["seconds"] * threads for row in frame.to_dict("records")}


def _designed(experiment: ExperimentConfig, name: str, plan: Design) -> ExperimentConfig:
    tune = experiment.tune
    seeds: Any = plan.start
    if plan.to > plan.start:
        seeds = {"from": plan.start, "to": plan.to, "step": plan.step}
    search: Any = None
    if plan.tune_seeds:
        rate = experiment.optimizer.lr
        key, grid = (tune.key, list(tune.values)) if tune else (RATE, None)
        values = grid or grid_around(rate, plan.values)
        search = {key: values, "seeds": plan.tune_seeds, "search": "halving"}
    return _changed(experiment, {"name": name, "seeds": seeds, "tune": search})


def _begun(
    experiment: ExperimentConfig, name: str, store: ExperimentStore
) -> ExperimentConfig | None:
    """What stands under the name already, if all but its seeds and search are the config's."""
    if not store.is_at(store.path):
        return None
    before = store.read_plan()["config"]
    if not {"seeds", "tune"} <= before.keys():
        return None
    try:
        begun = _changed(
            experiment, {"name": name, "seeds": before["seeds"], "tune": before["tune"]}
        )
    except ConfigError:
        return None
    # As what is on record was written.
    return begun if from_json(to_json(begun.resolved())) == before else None


def _changed(experiment: ExperimentConfig, keys: Mapping[str, Any]) -> ExperimentConfig:
    try:
        return ExperimentConfig.model_validate({**experiment.resolved(), **keys})
    except ValidationError as error:
        raise ConfigError(
            [Problem(dotted(path), message, hint) for path, message, hint, _ in read(error)]
        ) from None
