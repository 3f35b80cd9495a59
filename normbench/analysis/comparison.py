"""Paired comparison of norms: difference, interval, p-value and a verdict in plain words.

Runs pair by seed at the same sweep point. The definitions are those of PROTOCOL.md, "Comparison".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis.groups import norm_codes, require, sweep_points
from normbench.analysis.statistics import (
    RESAMPLES,
    holm,
    mean_interval,
    needed_seeds,
    sign_flip_p,
    signed_ranks,
)
from normbench.errors import ConfigError, Problem, suggest

__all__ = ["DEFAULT_METRICS", "METRICS", "Metric", "compare", "needed_seeds"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Metric:
    """A column of the outcomes to compare.

    ``capped`` names the column whose mean difference is reported where the metric itself can be
    infinite; such a metric is tested on ranks.
    """

    name: str
    higher_is_better: bool = True
    capped: str | None = None


METRICS = {
    metric.name: metric
    for metric in (
        Metric("steps_to_target", higher_is_better=False, capped="restricted_steps"),
        Metric("auc"),
        Metric("val_accuracy"),
        Metric("test_accuracy"),
        Metric("best_val_accuracy"),
    )
}
DEFAULT_METRICS = ("steps_to_target", "auc", "val_accuracy", "test_accuracy")

BETTER, WORSE, NO_EVIDENCE = "better", "worse", "no evidence of a difference"
TOO_FEW = "too few seeds"
"""Verdict words; the last is followed by " (needs at least n)"."""


@dataclass(frozen=True)
class _Layout:
    """Where each run stands in the cube [point, norm, place of its seed within the point]."""

    point: Ints
    norm: Ints
    seed: Ints
    shape: tuple[int, int, int]

    def cube(self, column: pd.Series) -> Floats:
        values = np.full(self.shape, np.nan)
        values[self.point, self.norm, self.seed] = column.to_numpy(dtype=float, na_value=np.nan)
        return values


def compare(
    outcome: pd.DataFrame,
    norms: Sequence[str],
    baseline: str,
    keys: Sequence[str],
    *,
    metrics: Sequence[str] = DEFAULT_METRICS,
    all_pairs: bool = False,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Each norm against the baseline (or every two norms), per sweep point and metric.

    outcome: rows of ``convergence.outcomes`` for one target. Returns one row for each sweep point,
    metric and pair of norms, in that order, with the columns

    - norm, baseline, <keys>, metric. With ``all_pairs``, ``baseline`` is the second of the two
      norms: the declared baseline where it is one of them, else the one listed earlier;
    - pairs: seeds with an outcome under both norms. A run that failed or is missing takes its pair
      out, and ``pairs`` shows it;
    - difference: mean over pairs of norm minus baseline, in the metric's own unit; for
      ``steps_to_target`` in steps, a miss counting as the budget (difference of restricted means);
    - ci_low, ci_high: bootstrap interval of it, see ``statistics.mean_interval``;
    - p_value: exact two-sided sign-flip test, see ``statistics.sign_flip_p``, on the differences
      themselves. For ``steps_to_target`` on their signed ranks: a pair in which one of the two
      missed is a larger difference than any that was measured, and one in which both missed is a
      difference of zero, which stays among the pairs but carries no sign;
    - p_adjusted: Holm over the comparisons of this sweep point and metric. It counts every
      comparison that was planned, also one that lost all its pairs;
    - p_better: share of pairs in which norm is better than baseline, ties half;
    - verdict: ``better`` or ``worse`` if p_adjusted <= alpha, in the direction of the tested
      statistic; else ``too few seeds (needs at least n)`` if no outcome of so many pairs and
      comparisons could have reached alpha; else ``no evidence of a difference``.

    Without any pair the numbers are NaN. A norm without runs at a sweep point is not compared
    there, and a metric that no run has (test accuracy without a test set) makes no rows.

    The same outcomes give the same numbers, whatever else is in the table.

    Raises ConfigError if the baseline is not among the norms, ValueError for an unknown metric,
    more than one target, or two runs of one norm, sweep point and seed.
    """
    if baseline not in norms:
        raise ConfigError(
            [Problem("baseline", f"unknown norm {baseline!r}", suggest(baseline, norms))]
        )
    for name in metrics:
        if name not in METRICS:
            raise ValueError(f"unknown metric {name!r}; {suggest(name, METRICS)}")
    if outcome["target"].nunique(dropna=False) > 1:
        raise ValueError("outcomes of several targets: choose the rows of one")
    outcome = outcome[norm_codes(outcome, norms) >= 0]
    layout, points = _layout(outcome, norms, keys)
    first, second = _comparisons(list(norms), baseline, all_pairs)
    present = np.zeros(layout.shape[:2], dtype=bool)
    present[layout.point, layout.norm] = True
    planned = present[:, first] & present[:, second]  # [P, K]

    parts = []
    for place, name in enumerate(metrics):
        metric = METRICS[name]
        require(outcome, [name] + ([metric.capped] if metric.capped else []), "outcomes")
        done = outcome["reached"] | outcome["censored"] | outcome["auc"].notna()
        if outcome[name].isna().all() and done.any():
            continue
        part = _compare_metric(outcome, layout, metric, first, second, confidence, resamples)
        _judge(part, metric, planned, alpha)
        part["metric"], part["place"] = name, place
        part["point"], part["pair"] = (index.ravel() for index in np.indices(planned.shape))
        parts.append(part[planned.ravel()])
    columns = [*COLUMNS[:2], *keys, *COLUMNS[2:]]
    if not parts:
        return pd.DataFrame(columns=columns)
    table = pd.concat(parts).sort_values(["point", "place", "pair"], kind="stable")
    names = np.array(list(norms), dtype=object)
    table["norm"] = names[np.asarray(first, dtype=int)[table["pair"]]]
    table["baseline"] = names[np.asarray(second, dtype=int)[table["pair"]]]
    for key in keys:
        table[key] = points[key].take(table["point"].to_numpy()).to_numpy()
    return table[columns].reset_index(drop=True)


COLUMNS = (
    *("norm", "baseline", "metric", "pairs", "difference", "ci_low", "ci_high"),
    *("p_value", "p_adjusted", "p_better", "verdict"),
)
"""The columns of a comparison; the sweep keys stand after the second."""


def _layout(
    outcome: pd.DataFrame, norms: Sequence[str], keys: Sequence[str]
) -> tuple[_Layout, pd.DataFrame]:
    """Lay the runs out by point, norm and seed; seeds are ranked within each point.

    Ranked within the point, so that sweep points with different seeds do not blow up the cube.
    """
    point, points = sweep_points(outcome, keys)
    norm = norm_codes(outcome, norms)
    every_seed, seed_code = np.unique(outcome["seed"].to_numpy(), return_inverse=True)
    cell, place = np.unique(point * max(len(every_seed), 1) + seed_code, return_inverse=True)
    start = np.searchsorted(cell, np.arange(len(points)) * max(len(every_seed), 1))
    seed = place - start[point]
    shape = (len(points), len(norms), int(seed.max()) + 1 if len(seed) else 0)
    taken = np.ravel_multi_index((point, norm, seed), shape) if len(seed) else seed
    values, times = np.unique(taken, return_counts=True)
    if (times > 1).any():
        row = outcome.iloc[int(np.flatnonzero(taken == values[times > 1][0])[0])]
        raise ValueError(f"norm {row['norm']!r} has two runs with seed {row['seed']} at one point")
    return _Layout(point, norm, seed, shape), points


def _comparisons(norms: list[str], baseline: str, all_pairs: bool) -> tuple[list[int], list[int]]:
    """Positions of (norm, the norm it is compared with), in table order."""
    order = [norms.index(baseline), *(i for i, norm in enumerate(norms) if norm != baseline)]
    if not all_pairs:
        return order[1:], [order[0]] * (len(order) - 1)
    pairs = list(itertools.combinations(order, 2))
    return [second for _, second in pairs], [first for first, _ in pairs]


def _compare_metric(
    outcome: pd.DataFrame,
    layout: _Layout,
    metric: Metric,
    first: list[int],
    second: list[int],
    confidence: float,
    resamples: int,
) -> pd.DataFrame:
    """Numbers of all comparisons of one metric: one row for each point and pair of norms [P * K].

    ``direction`` is the sign of the tested statistic: norm minus baseline.
    """
    score = layout.cube(outcome[metric.name])
    raw = _difference(score, first, second)
    plain = raw
    if metric.capped:
        plain = _difference(layout.cube(outcome[metric.capped]), first, second)
    pairs = np.isfinite(plain).sum(axis=1)
    columns = ("difference", "ci_low", "ci_high", "p_value", "p_better", "direction")
    result = {name: np.full(len(raw), np.nan) for name in columns}
    for n in np.unique(pairs[pairs > 0]):
        rows = np.flatnonzero(pairs == n)
        # Pairs in order of their seeds, without the places of those that are incomplete.
        keep = np.argsort(np.isnan(plain[rows]), axis=1, kind="stable")[:, :n]
        d = np.take_along_axis(raw[rows], keep, axis=1)
        capped = np.take_along_axis(plain[rows], keep, axis=1)
        tested = signed_ranks(d) if metric.capped else d
        result["difference"][rows] = capped.mean(axis=1)
        low, high = mean_interval(capped, confidence, resamples)
        result["ci_low"][rows], result["ci_high"][rows] = low, high
        result["p_value"][rows] = sign_flip_p(tested)
        wins = (d > 0) if metric.higher_is_better else (d < 0)
        result["p_better"][rows] = wins.mean(axis=1) + (d == 0).mean(axis=1) / 2
        result["direction"][rows] = np.sign(tested.sum(axis=1))
    return pd.DataFrame({"pairs": pairs, **result})


def _difference(cube: Floats, first: list[int], second: list[int]) -> Floats:
    """norm minus baseline, [P * K, S]; two misses (inf, inf) are a tie, an absent run is NaN."""
    with np.errstate(invalid="ignore"):
        difference = cube[:, first] - cube[:, second]
    difference[np.isposinf(cube[:, first]) & np.isposinf(cube[:, second])] = 0.0
    points, comparisons, seeds = difference.shape
    return difference.reshape(points * comparisons, seeds)


def _judge(part: pd.DataFrame, metric: Metric, planned: NDArray[np.bool_], alpha: float) -> None:
    """Add ``p_adjusted`` and ``verdict`` to the rows [P * K] of one metric."""
    count = planned.sum(axis=1)
    p = part["p_value"].to_numpy().reshape(planned.shape)
    part["p_adjusted"] = holm(np.where(planned, p, np.nan), count).ravel()
    comparisons = np.repeat(count, planned.shape[1])
    significant = part["p_adjusted"].to_numpy() <= alpha
    up = (part["direction"].to_numpy() > 0) == metric.higher_is_better
    too_few = np.full(len(part), "", dtype=object)
    reachable = np.ones(len(part), dtype=bool)
    for m in np.unique(comparisons[comparisons > 0]):
        need = needed_seeds(int(m), alpha)
        too_few[comparisons == m] = f"{TOO_FEW} (needs at least {need})"
        reachable[comparisons == m] = part["pairs"].to_numpy()[comparisons == m] >= need
    words = np.where(reachable, NO_EVIDENCE, too_few)
    part["verdict"] = np.where(significant, np.where(up, BETTER, WORSE), words)
