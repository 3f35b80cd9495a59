"""Paired comparison of norms with a baseline: difference, interval, p-value, verdict.

Runs pair by seed at the same sweep point. The definitions are those of PROTOCOL.md, "Comparison".
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis.groups import failed_to_learn, norm_codes, require, sweep_points
from normbench.analysis.intervals import mean_interval, shift, shift_interval
from normbench.analysis.power import detectable_effect, needed_seeds, share_of_look
from normbench.analysis.rule import (
    BETTER,
    DEFAULT_METRICS,
    METRICS,
    SIMILAR,
    TOO_FEW,
    UNDECIDED,
    WORSE,
    Metric,
    VerdictRule,
)
from normbench.analysis.statistics import holm, sign_flip_p, signed_ranks
from normbench.errors import ConfigError, Problem, suggest

__all__ = ["COLUMNS", "DEFAULT_METRICS", "METRICS", "Metric", "compare", "needed_seeds"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Words = NDArray[np.object_]

SIMULTANEOUS, UNADJUSTED = "simultaneous", "unadjusted"
"""What an interval promises; in its place stands the reason where there is none."""

COLUMNS = (
    *("norm", "baseline", "metric", "pairs", "informative", "difference", "ci_low", "ci_high"),
    *("interval", "p_value", "p_adjusted", "p_better", "detectable", "verdict"),
)
"""The columns of a comparison; the sweep keys stand after the second."""


@dataclass(frozen=True)
class Layout:
    """Where each run stands in the cube [sweep point, norm, rank of its seed there]."""

    sweep_point: Ints
    norm: Ints
    seed: Ints
    shape: tuple[int, int, int]

    def cube(self, column: pd.Series) -> Floats:
        values = np.full(self.shape, np.nan)
        at = self.sweep_point, self.norm, self.seed
        values[at] = column.to_numpy(dtype=float, na_value=np.nan)
        return values


def compare(
    outcome: pd.DataFrame,
    norms: Sequence[str],
    baseline: str,
    keys: Sequence[str],
    *,
    rule: VerdictRule | None = VerdictRule(),
    metrics: Sequence[str] = DEFAULT_METRICS,
    all_pairs: bool = False,
    looks: Sequence[int] = (),
    alpha: float = 0.05,
) -> pd.DataFrame:
    """Each norm against the baseline (or every two norms), per sweep point and metric.

    outcome: rows of ``convergence.outcomes`` for one target. looks: the numbers of seeds at which a
    norm could have ended, where seeds come in steps: a pair is judged at the share of alpha of its
    own look, see ``power.share_of_look``. Returns one row for each sweep point, metric and pair of
    norms, in that order and with the judged metric first, with the columns

    - norm, baseline, <keys>, metric. With ``all_pairs``, ``baseline`` is the second of the two
      norms: the declared baseline where it is one of them, else the one listed earlier;
    - pairs: seeds with an outcome under both norms. A run that failed or is missing takes its pair
      out, and ``pairs`` shows it; informative: those of them that differ. A tie, or a pair in which
      neither reached the target, carries no sign;
    - difference: norm minus baseline in the metric's own unit: the mean over pairs, or, in steps,
      the Hodges-Lehmann shift, in which a miss is larger than any number (so it can be infinite);
    - p_value: exact two-sided sign-flip test (``statistics.sign_flip_p``) of the differences, in
      steps of their signed ranks, a miss being the largest;
    - p_better: share of pairs in which norm is better than baseline, ties half.

    The metric of ``rule`` carries the verdicts (none does where it is None):

    - p_adjusted: Holm over every comparison of that metric in the experiment, over all of its sweep
      points, also those that lost all their pairs; with ``looks`` each p is first divided by its
      look's share;
    - ci_low, ci_high: ``intervals.mean_interval`` or ``intervals.shift_interval`` at alpha over the
      number of comparisons. All of them hold at once in 95 % of experiments. Where Holm decided
      they end short of zero, so that no word contradicts its interval: that part is Holm's own
      statement, with its own 5 %;
    - interval: "simultaneous", or why there is none: too few pairs, no spread, or runs that end in
      two ways (``intervals`` says why that leaves none for a mean);
    - detectable: the smallest difference that 80 % power would have found, by the spread that was
      measured; NaN where a miss leaves none;
    - verdict: ``similar`` where the interval lies inside the margin (two one-sided tests, each at
      half of alpha), which goes before all else: a difference can be certain and still too small
      to matter. ``better`` or ``worse`` if p_adjusted <= alpha. ``too few seeds (needs n)`` if no
      outcome of so many pairs and comparisons could have reached alpha. ``undecided`` otherwise,
      with the reason in brackets where ties are why nothing could have reached alpha.

    Every other metric is exploratory: its interval is "unadjusted" at alpha, its p_adjusted NaN and
    its verdict empty.

    Without any pair the numbers are NaN. A norm without runs at a sweep point is not compared
    there, and a metric that no run has (test accuracy without a test set) makes no rows.

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
    layout, points = lay_out(outcome, norms, keys)
    first, second = _comparisons(list(norms), baseline, all_pairs)
    present = np.zeros(layout.shape[:2], dtype=bool)
    present[layout.sweep_point, layout.norm] = True
    planned = present[:, first] & present[:, second]  # [P, K]
    mixed = _mixed(outcome, layout, first, second)

    judged = [rule.metric] if rule else []
    parts = []
    for order, name in enumerate(dict.fromkeys([*judged, *metrics])):
        require(outcome, [name], "outcomes")
        done = outcome["reached"] | outcome["censored"] | outcome["auc"].notna()
        if outcome[name].isna().all() and done.any():
            continue
        score = layout.cube(outcome[name])
        raw = _difference(score, first, second)
        family = int(planned.sum()) if name in judged else 1
        steps = looks if name in judged else ()
        part = _numbers(raw, METRICS[name], alpha / max(family, 1), mixed, steps)
        part["p_adjusted"], part["verdict"] = np.nan, ""
        if rule and name in judged:
            rows = planned.ravel()
            share = part["pairs"].map(lambda pairs: share_of_look(pairs, looks))
            p = np.where(rows, np.minimum(part["p_value"] / share, 1.0), np.nan)
            part["p_adjusted"] = holm(p, np.array(family))
            part["margin"] = rule.similar_within
            if METRICS[name].ranked:
                part["margin"] *= _median(score)[:, second].ravel()
            _judge(part, METRICS[name], family, alpha, looks)
        else:
            part["detectable"] = np.nan
            part.loc[part["interval"] == "", "interval"] = UNADJUSTED
        part["metric"], part["order"] = name, order
        part["sweep_point"], part["pair"] = (index.ravel() for index in np.indices(planned.shape))
        parts.append(part[planned.ravel()])
    columns = [*COLUMNS[:2], *keys, *COLUMNS[2:]]
    if not parts:
        return pd.DataFrame(columns=columns)
    table = pd.concat(parts).sort_values(["sweep_point", "order", "pair"], kind="stable")
    names = np.array(list(norms), dtype=object)
    table["norm"] = names[np.asarray(first, dtype=int)[table["pair"]]]
    table["baseline"] = names[np.asarray(second, dtype=int)[table["pair"]]]
    for key in keys:
        table[key] = points[key].take(table["sweep_point"].to_numpy()).to_numpy()
    return table[columns].reset_index(drop=True)


def _fewest(family: int, alpha: float, looks: Sequence[int]) -> int:
    """The fewest pairs with which any of ``family`` comparisons can come out different."""
    need = needed_seeds(family, alpha)
    while needed_seeds(family, alpha * share_of_look(need, looks)) > need:
        need += 1
    return need


def lay_out(
    outcome: pd.DataFrame, norms: Sequence[str], keys: Sequence[str]
) -> tuple[Layout, pd.DataFrame]:
    """Lay the runs out by point, norm and seed; seeds are ranked within each point.

    Ranked within the point, so that sweep points with different seeds do not blow up the cube.
    """
    sweep_point, points = sweep_points(outcome, keys)
    norm = norm_codes(outcome, norms)
    every_seed, seed_code = np.unique(outcome["seed"].to_numpy(), return_inverse=True)
    cell, entry = np.unique(sweep_point * max(len(every_seed), 1) + seed_code, return_inverse=True)
    start = np.searchsorted(cell, np.arange(len(points)) * max(len(every_seed), 1))
    seed = entry - start[sweep_point]
    shape = (len(points), len(norms), int(seed.max()) + 1 if len(seed) else 0)
    taken = np.ravel_multi_index((sweep_point, norm, seed), shape) if len(seed) else seed
    values, times = np.unique(taken, return_counts=True)
    if (times > 1).any():
        row = outcome.iloc[int(np.flatnonzero(taken == values[times > 1][0])[0])]
        raise ValueError(f"norm {row['norm']!r} has two runs with seed {row['seed']} at one point")
    return Layout(sweep_point, norm, seed, shape), points


def _comparisons(norms: list[str], baseline: str, all_pairs: bool) -> tuple[list[int], list[int]]:
    """Positions of (norm, the norm it is compared with), in table order."""
    order = [norms.index(baseline), *(i for i, norm in enumerate(norms) if norm != baseline)]
    if not all_pairs:
        return order[1:], [order[0]] * (len(order) - 1)
    pairs = list(itertools.combinations(order, 2))
    return [second for _, second in pairs], [first for first, _ in pairs]


def _numbers(
    raw: Floats, metric: Metric, alpha: float, mixed: Words, looks: Sequence[int]
) -> pd.DataFrame:
    """Numbers of all comparisons of one metric: one row for each point and pair of norms [P * K].

    ``direction`` is the sign of the tested statistic: norm minus baseline. ``alpha`` is that of one
    interval. ``detectable`` holds the standard deviation of a difference until ``_judge``.
    """
    pairs = (~np.isnan(raw)).sum(axis=1)
    columns = ("difference", "ci_low", "ci_high", "p_value", "p_better", "direction", "detectable")
    result: dict[str, NDArray[Any]] = {name: np.full(len(raw), np.nan) for name in columns}
    result["informative"] = ((raw != 0) & ~np.isnan(raw)).sum(axis=1)
    need = _fewest(1, alpha, looks)
    reason = np.full(len(raw), "no pairs", dtype=object)
    for n in np.unique(pairs[pairs > 0]):
        rows = np.flatnonzero(pairs == n)
        # Pairs in order of their seeds, without the places of those that are incomplete.
        keep = np.argsort(np.isnan(raw[rows]), axis=1, kind="stable")[:, :n]
        d = np.take_along_axis(raw[rows], keep, axis=1)
        tested = signed_ranks(d) if metric.ranked else d
        result["difference"][rows] = shift(d) if metric.ranked else d.mean(axis=1)
        result["p_value"][rows] = sign_flip_p(tested)
        wins = (d > 0) if metric.higher_is_better else (d < 0)
        result["p_better"][rows] = wins.mean(axis=1) + (d == 0).mean(axis=1) / 2
        result["direction"][rows] = np.sign(tested.sum(axis=1))
        if n > 1:
            with np.errstate(invalid="ignore"):
                result["detectable"][rows] = d.std(axis=1, ddof=1)  # NaN beside a miss
        reason[rows] = np.array(_reasons(d, need, metric, mixed[rows]), dtype=object)
        shown = np.flatnonzero(reason[rows] == "")
        if len(shown):
            interval = shift_interval if metric.ranked else mean_interval
            low, high = interval(d[shown], alpha * share_of_look(int(n), looks))
            # Ties in steps can leave one number, which is no interval.
            flat = (low == high) | np.isposinf(low) | np.isneginf(high)
            flat |= np.isneginf(low) & np.isposinf(high)
            result["ci_low"][rows[shown]] = np.where(flat, np.nan, low)
            result["ci_high"][rows[shown]] = np.where(flat, np.nan, high)
            reason[rows[shown[flat]]] = "too many ties or misses"
    return pd.DataFrame({"pairs": pairs, **result, "interval": reason})


def _reasons(d: Floats, need: int, metric: Metric, mixed: Words) -> list[str]:
    """Why a row of differences [G, n] has no interval; empty where it has one."""
    pairs = d.shape[1]
    differ = (d != 0).sum(axis=1)
    with np.errstate(invalid="ignore"):
        spread = d.max(axis=1) - d.min(axis=1)
    largest = np.where(np.isfinite(d), np.abs(d), 0.0).max(axis=1)
    flat = (spread <= 1e-12 * largest) | (d == d[:, :1]).all(axis=1)
    reasons = []
    for informative, same, mixture in zip(differ, flat, mixed, strict=True):
        if pairs < need:
            reasons.append(f"needs {need} pairs")
        elif informative == 0:
            reasons.append("no pair differs")
        elif same:
            reasons.append("all pairs differ by the same amount")
        elif metric.ranked:
            reasons.append("")
        elif mixture:
            reasons.append(mixture)
        else:
            few = informative < need
            reasons.append(f"{pairs - informative} of {pairs} pairs tie" if few else "")
    return reasons


def _mixed(outcome: pd.DataFrame, layout: Layout, first: list[int], second: list[int]) -> Words:
    """Where the pairs end in several ways, one of them a run that failed to learn; else "". [P * K]

    Such a run diverged or ended at chance. Where it is so at every seed, the pairs end alike.
    """
    count = layout.shape[0] * len(first)
    words = np.full(count, "", dtype=object)
    lost = pd.Series(failed_to_learn(outcome), index=outcome.index)
    known = outcome["auc"].notna() | outcome["reached"] | outcome["censored"]
    cube = layout.cube(lost.astype(float).where(known))
    # 0: both learned, 1: the baseline did not, 2: the norm did not, 3: neither; NaN without a pair.
    way = (2 * cube[:, first] + cube[:, second]).reshape(count, cube.shape[2])
    pairs = (~np.isnan(way)).sum(axis=1)
    for row in np.flatnonzero((way > 0).any(axis=1)):
        ways = way[row][~np.isnan(way[row])]
        if len(set(ways.tolist())) > 1:
            words[row] = (
                f"{int((ways > 0).sum())} of {pairs[row]} pairs hold a run that failed to learn"
            )
    return words


def _difference(cube: Floats, first: list[int], second: list[int]) -> Floats:
    """norm minus baseline, [P * K, S]; two misses (inf, inf) are a tie, an absent run is NaN."""
    with np.errstate(invalid="ignore"):
        difference = cube[:, first] - cube[:, second]
    difference[np.isposinf(cube[:, first]) & np.isposinf(cube[:, second])] = 0.0
    points, comparisons, seeds = difference.shape
    return difference.reshape(points * comparisons, seeds)


def _median(score: Floats) -> Floats:
    """Median over seeds, misses infinite. [P, norms, S] -> [P, norms]; NaN without a run."""
    ordered = np.sort(score, axis=2)  # NaN last
    known = (~np.isnan(score)).sum(axis=2)
    if not score.shape[2]:
        return np.full(score.shape[:2], np.nan)
    indices = [np.maximum((known - 1) // 2, 0), np.minimum(known // 2, score.shape[2] - 1)]
    low, high = (np.take_along_axis(ordered, p[..., None], axis=2)[..., 0] for p in indices)
    return np.where(known > 0, (low + high) / 2, np.nan)


def _judge(
    part: pd.DataFrame, metric: Metric, family: int, alpha: float, looks: Sequence[int]
) -> None:
    """Trim the intervals, and give detectable effects and verdicts to the judged rows [P * K]."""
    need = _fewest(max(family, 1), alpha, looks)
    decided = part["p_adjusted"].to_numpy() <= alpha
    direction = part["direction"].to_numpy()
    shown = part["interval"] == ""
    above, below = decided & (direction > 0), decided & (direction < 0)
    # The ends of an interval that Holm shortened are open: zero itself is outside.
    part["ci_low"] = np.where(
        shown & above, np.maximum(part["ci_low"], np.nextafter(0, 1)), part["ci_low"]
    )
    part["ci_high"] = np.where(
        shown & below, np.minimum(part["ci_high"], np.nextafter(0, -1)), part["ci_high"]
    )
    part.loc[shown, "interval"] = SIMULTANEOUS
    effects = {
        n: detectable_effect(int(n), max(family, 1), alpha * share_of_look(int(n), looks))
        for n in set(part["pairs"])
    }
    part["detectable"] = part["detectable"] * part["pairs"].map(effects)
    part["detectable"] = part["detectable"].where(np.isfinite(part["detectable"]))

    up = (direction > 0) == metric.higher_is_better
    inside = (part["ci_low"] >= -part["margin"]) & (part["ci_high"] <= part["margin"])
    inside &= np.isfinite(part["margin"])
    words = []
    for similar, significant, better, pairs, informative in zip(
        inside, decided, up, part["pairs"], part["informative"], strict=True
    ):
        if similar:
            words.append(SIMILAR)
        elif significant:
            words.append(BETTER if better else WORSE)
        else:
            words.append(open_word(pairs, informative, need, metric))
    part["verdict"] = words


def open_word(pairs: int, informative: int, need: int, metric: Metric) -> str:
    """The word where nothing is decided: too few seeds, or undecided, with its reason."""
    nothing = f"neither reached the target in {pairs - informative} of {pairs} pairs"
    reason = nothing if metric.ranked else f"{pairs - informative} of {pairs} pairs tie"
    if informative >= need:
        return UNDECIDED
    if pairs >= need or (metric.ranked and pairs and not informative):
        return f"{UNDECIDED} ({reason})"
    return f"{TOO_FEW} (needs {need})"
