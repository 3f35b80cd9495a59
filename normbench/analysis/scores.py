"""The same statistics for numbers that others made."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from normbench.analysis.best_set import best_set
from normbench.analysis.comparison import compare
from normbench.analysis.rule import LEADER, VerdictRule
from normbench.errors import ConfigError, Problem

NO_MARGIN = 1e-300
"""Nothing counts as similar where no margin was named: what matters is not known."""


@dataclass(frozen=True)
class ScoreComparison:
    """What ``compare_scores`` gives back.

    best_set: see ``best_set.best_set``, columns without metric; comparisons: see
    ``comparison.compare``, likewise, empty without a baseline. ``str()`` of it is a summary.
    """

    best_set: pd.DataFrame
    comparisons: pd.DataFrame

    def __str__(self) -> str:
        table = self.best_set
        leader = table.iloc[0]
        if leader["verdict"] != LEADER:
            return "no scores to compare"
        lines = [f"{leader['norm']} leads with {leader['value']:.4g} ({leader['seeds']} scores)"]
        lines += [
            f"{row['norm']}: {row['difference']:+.4g}{_between(row)}, {row['verdict']}"
            for row in table.iloc[1:].to_dict("records")
        ]
        lines += [
            f"{row['norm']} against {row['baseline']}: {row['difference']:+.4g}{_between(row)}, "
            f"{row['verdict']}"
            for row in self.comparisons.to_dict("records")
        ]
        return "\n".join(lines)


def _between(row: Mapping[str, float]) -> str:
    if math.isnan(row["ci_low"]):
        return f" (no interval: {row['interval']})"
    return f" ({row['ci_low']:+.4g} to {row['ci_high']:+.4g})"


def compare_scores(
    scores: Mapping[str, Sequence[float]],
    *,
    higher_is_better: bool = True,
    similar_within: float | None = None,
    baseline: str | None = None,
    alpha: float = 0.05,
) -> ScoreComparison:
    """Which of several methods may be best, from scores that pair by position (one a seed).

    scores: name -> equally long lists; NaN or None where a score is missing. similar_within: the
    difference that does not matter, in the scores' unit; without it nothing is called similar.
    baseline: also compare every other one with it, adjusted by Holm.

    Raises ConfigError for fewer than two names, unequal lengths, infinite scores, a margin that is
    not above zero, or an unknown baseline.
    """
    columns = {
        name: np.array([math.nan if value is None else value for value in values], dtype=float)
        for name, values in scores.items()
    }
    wrong = []
    if len(columns) < 2:
        wrong.append(Problem("scores", "needs at least two names"))
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name}: {length}" for name, length in lengths.items())
        wrong.append(Problem("scores", f"must be equally long to pair by position ({told})"))
    wrong += [
        Problem(f"scores.{name}", "holds an infinite score")
        for name, values in columns.items()
        if np.isinf(values).any()
    ]
    if similar_within is not None and not similar_within > 0:
        wrong.append(Problem("similar_within", f"must be above 0, got {similar_within}"))
    if wrong:
        raise ConfigError(wrong)
    sign = 1.0 if higher_is_better else -1.0
    power = _power(columns.values())
    outcome = pd.concat(
        pd.DataFrame({"norm": name, "seed": range(len(values)), "auc": sign * unit})
        for name, values in columns.items()
        for unit in [np.ldexp(values, -power)]
    ).assign(target=math.nan, reached=False, censored=False)
    with np.errstate(over="ignore", under="ignore"):
        margin = float(np.ldexp(similar_within or 0.0, -power))
    rule = VerdictRule("auc", min(max(margin, NO_MARGIN), 1 / NO_MARGIN))
    names = list(columns)
    best = best_set(outcome, names, [], rule=rule, alpha=alpha)
    paired = pd.DataFrame()
    if baseline is not None:
        paired = compare(outcome, names, baseline, [], rule=rule, metrics=[], alpha=alpha)
        paired = _turned(paired, sign, power)
    return ScoreComparison(_turned(best, sign, power), paired)


def _power(columns: Iterable[npt.NDArray[np.float64]]) -> int:
    """By which power of 2 scores are divided so that their squares are numbers; mostly 0."""
    largest = max((float(np.nanmax(np.abs([*values, 0.0]))) for values in columns), default=0.0)
    return 0 if largest == 0 or 1e-100 < largest < 1e100 else math.frexp(largest)[1]


def _turned(table: pd.DataFrame, sign: float, power: int) -> pd.DataFrame:
    """The numbers in the scores' own size, and their direction, where lower is better."""
    table = table.drop(columns="metric")
    if power:
        with np.errstate(over="ignore", under="ignore"):
            for name in ("value", "difference", "ci_low", "ci_high", "detectable"):
                if name in table:
                    table[name] = np.ldexp(table[name].astype(float), power)
    if sign > 0:
        return table
    for name in ("value", "difference"):
        if name in table:
            table[name] = -table[name]
    low, high = -table["ci_high"], -table["ci_low"]
    return table.assign(ci_low=low, ci_high=high)
