"""What a claim of the literature asks of its runs: rules that stand as data in the claim's file.

An ``Ask`` is a question paired by seed, put at one or several sweep points and at the shared or at
each norm's own best rate; all those of a claim are one family (``family.judged``). A ``Spread``
asks for the size of a standard deviation over the seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from normbench.analysis.tuning import trains
from normbench.claims.family import Asks, Duel
from normbench.claims.runs import select
from normbench.claims.study import BEST, FACTORS, ROLES, paired
from normbench.claims.verdicts import Piece
from normbench.report.columns import number

Tables = Mapping[str, pd.DataFrame]

METRICS = {
    "auc": "area under the validation curve",
    "val_accuracy": "validation accuracy at the end",
    "val_accuracy_precise": "validation accuracy with statistics of the whole training set",
    "test_accuracy": "test accuracy",
    "gap": "training less test accuracy",
    "largest_rate": "log10 of the largest rate that trains",
}
"""What an ``Ask`` may compare. A diverged run counts as chance; its precise accuracy is missing."""

WHERE = {**FACTORS, "model.norm_position": "position", "optimizer.warmup_steps": "warm-up",
         "optimizer.lr": "rate"}  # fmt: skip


@dataclass(frozen=True)
class Of:
    """A number a seed: of the runs of one norm, or the same for every seed.

    at: sweep values of its own, which go before those of the ask's point. metric, rate: other than
    the ask's. level: the number itself, in place of any run.
    """

    norm: str = ""
    at: Mapping[str, Any] = field(default_factory=dict)
    metric: str = ""
    rate: str = ""
    level: float = math.nan

    @property
    def name(self) -> str:
        """In words: the norm, and where it stands apart from the ask's point."""
        if not math.isnan(self.level):
            return f"{self.level:g}"
        situations = [f"{WHERE.get(key, key)} {value}" for key, value in self.at.items()]
        words = [*situations, *([self.rate] if self.rate else [])]
        words += [METRICS[self.metric]] if self.metric else []
        return f"{self.norm} ({', '.join(words)})" if words else self.norm


def level(value: float) -> Of:
    """A fixed number."""
    return Of(level=value)


@dataclass(frozen=True)
class Ask:
    """Has ``first`` more of ``metric`` than ``second`` (or no less by ``within``)?

    within: the smallest difference that matters. beyond: a control, whose difference, times
    ``share``, is taken off: what is left is an interaction. points: the sweep points, each a
    question of its own. rates: where it is asked. config: the experiment, the claim's first if
    empty. where: what to call the setting, such as network -> CNN.
    """

    part: str
    first: Of
    second: Of
    metric: str
    within: float
    asks: Asks = "more"
    beyond: tuple[Of, Of] | None = None
    share: float = 1.0
    points: Sequence[Mapping[str, Any]] = ({},)
    rates: Sequence[str] = (BEST,)
    config: str = ""
    where: Mapping[str, Any] = field(default_factory=dict)

    @property
    def control(self) -> str:
        """The control in words; empty without one."""
        if self.beyond is None:
            return ""
        share = "" if self.share == 1 else f"{self.share:g} times "
        return f"{share}({self.beyond[0].name} less {self.beyond[1].name})"

    def duels(self, tables: Tables, first_config: str) -> list[Duel]:
        """The question at every point and rate, with its differences by seed."""
        table = tables.get(self.config or first_config)
        asked = []
        for sweep_point in self.points:
            for rate in self.rates:
                situation = {
                    **self.where,
                    **{WHERE.get(key, key): value for key, value in sweep_point.items()},
                    **({"at": rate} if self._rated else {}),
                }
                differences = () if table is None else self._differences(table, sweep_point, rate)
                second = f"{self.second.name} beyond {self.control}" if self.beyond else ""
                asked.append(
                    Duel(self.part, situation, self.first.name, second or self.second.name,
                         METRICS[self.metric], differences, self.within, self.asks, self._largest)
                )  # fmt: skip
        return asked

    @property
    def _largest(self) -> float:
        """The largest difference there can be: of shares 1, of two shares' differences 2."""
        if self.metric == "largest_rate":
            return math.inf
        between = 2.0 if self.metric == "gap" else 1.0
        return between * (1 + self.share) if self.beyond else between

    @property
    def _rated(self) -> bool:
        return self.metric != "largest_rate" and not (self.first.rate and self.second.rate)

    def _differences(
        self, table: pd.DataFrame, sweep_point: Mapping[str, Any], rate: str
    ) -> tuple[float, ...]:
        def value(of: Of) -> pd.Series | float:
            return values(table, of, self.metric, sweep_point, rate)

        differences = _less(value(self.first), value(self.second))
        if self.beyond is not None:
            off = _less(value(self.beyond[0]), value(self.beyond[1]))
            return paired(differences, self.share * off)
        return tuple(float(difference) for difference in differences.sort_index())


def values(
    table: pd.DataFrame, of: Of, metric: str, sweep_point: Mapping[str, Any], rate: str
) -> pd.Series | float:
    """seed -> the number that ``of`` stands for; a fixed number is itself."""
    if not math.isnan(of.level):
        return of.level
    metric, at = of.metric or metric, {**sweep_point, **of.at}
    if metric == "largest_rate":
        return _largest_rate(select(table, of.norm, "tune", at))
    runs = select(table, of.norm, ROLES[of.rate or rate], at).set_index("seed")
    if metric == "gap":
        return runs["train_accuracy"] - runs["test_accuracy"]
    return runs[metric]


def _less(first: pd.Series | float, second: pd.Series | float) -> pd.Series:
    """first less second by seed, NaN where a side lacks the seed."""
    difference = first - second
    assert isinstance(difference, pd.Series)  # two fixed numbers are no question
    return difference


def _largest_rate(runs: pd.DataFrame) -> pd.Series:
    """seed -> log10 of the largest rate of the grid that trains; a step of the grid below its
    lowest where none does, NaN where a run is missing."""
    if runs.empty:
        return pd.Series(dtype=float)
    good = trains(runs["val_accuracy"], 1 / runs["num_classes"], runs["target"].iloc[0])
    good = good.astype(float).where(runs["val_accuracy"].notna())
    grid = runs.assign(good=good).pivot_table("good", "seed", "tuned", dropna=False)
    logs = np.log10(grid.columns.to_numpy(dtype=float))
    step = (logs[-1] - logs[0]) / max(len(logs) - 1, 1)
    largest = np.where(grid.fillna(0) > 0, logs, logs[0] - step).max(axis=1)
    return pd.Series(largest, index=grid.index).where(grid.notna().all(axis=1))


@dataclass(frozen=True)
class Spread:
    """Does the standard deviation of ``metric`` over the seeds lie from ``low`` to ``high``?

    It does where its 95 % interval lies inside, and does not where that lies outside; the interval
    is that of a normal sample's variance, by chi square.
    """

    part: str
    norm: str
    metric: str
    low: float
    high: float
    where: Mapping[str, Any] = field(default_factory=dict)

    def piece(self, tables: Tables, first_config: str) -> Piece:
        """The answer, open without at least two runs."""
        table = tables.get(first_config)
        known = pd.Series(dtype=float)
        if table is not None:
            known = select(table, self.norm, "report", {})[self.metric].dropna()
        count = len(known)
        if count < 2:
            return Piece(self.part, self.where, None, "not measured")
        sd, free = float(known.std()), count - 1
        ends = [math.sqrt(free * sd**2 / stats.chi2.ppf(q, free)) for q in (0.975, 0.025)]
        inside = self.low <= ends[0] and ends[1] <= self.high
        outside = ends[1] < self.low or ends[0] > self.high
        told = f"{number(ends[0])} to {number(ends[1])}"
        why = f"standard deviation of {METRICS[self.metric]} {number(sd)} ({told}), {count} seeds"
        numbers = {"sd": sd, "ci_low": ends[0], "ci_high": ends[1], "seeds": count}
        return Piece(self.part, self.where, True if inside else False if outside else None, why,
                     numbers)  # fmt: skip
