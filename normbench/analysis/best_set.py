"""Which norms may be best: the model confidence set, and each norm's difference to the leader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.comparison import open_word
from normbench.analysis.groups import norm_codes, point_at, require, sweep_points
from normbench.analysis.power import seeds_for
from normbench.analysis.rule import LEADER, METRICS, SIMILAR, TOO_FEW, WORSE, VerdictRule
from normbench.analysis.sequential import (
    Gap,
    Looks,
    RacedRuns,
    Standing,
    fixed,
    gap,
    margin_of,
    needed_for,
    raced_runs,
    replay,
)

COLUMNS = (
    *("norm", "metric", "rank", "in_set", "seeds", "value", "difference", "ci_low", "ci_high"),
    *("interval", "p_value", "verdict", "more_seeds", "look"),
)
"""The columns of a best set; the sweep keys stand after the first."""


def best_set(
    outcome: pd.DataFrame,
    norms: Sequence[str],
    keys: Sequence[str],
    *,
    rule: VerdictRule,
    looks: Looks | None = None,
    order: Sequence[int] | None = None,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """The norms that cannot be told from the best at 95 %, a row a sweep point and norm.

    The model confidence set (Hansen, Lunde & Nason 2011): test that all norms are equal
    (``equality``), eliminate the worst, repeat. The probability that a norm that is among the best
    is eliminated is at most alpha, over all sweep points, which share it evenly, and over all
    ``looks`` (``sequential``); without looks there is one, at all seeds. Norms that lack a seed are
    tested on the seeds that all norms still in have.

    outcome: rows of ``convergence.outcomes`` for one target. order: the seeds as they were trained,
    ascending by default. Returns, by sweep point and the leader first, the columns

    - norm, <keys>, metric; rank: 0 for the leader, then those that may be best or are similar,
      then the others, each by value; norms without any outcome come last;
    - in_set: may be best, as far as is known;
    - seeds: outcomes of the norm; value: their mean, in steps their median;
    - difference: norm minus leader in the metric's own unit, over the seeds of both up to the look
      that decided; the mean, in steps the Hodges-Lehmann shift;
    - ci_low, ci_high: Student's interval (in steps the inverted signed-rank test) at the alpha of
      the look over the number of pairs of norms it compared, so that choosing the leader by the
      same data costs nothing. It ends short of zero where the norm was eliminated, and reaches it
      where it was not; interval: "simultaneous", or why there is none;
    - p_value: the largest p up to the norm's elimination; 1 for the leader;
    - verdict: "leader"; "similar" where the interval lies inside the margin, also for a norm that
      was eliminated; "worse" where it was; else "too few seeds (needs n)" where nothing could have
      been told, or "undecided";
    - more_seeds: how many more would tell it from the leader with 80 % power if the difference is
      what was measured; NaN where it was, or where there is no spread;
    - look: seeds at which it was decided; NaN before the first look is complete.
    """
    require(outcome, [rule.metric, "norm", "seed"], "outcomes")
    if "target" in outcome and outcome["target"].nunique(dropna=False) > 1:
        raise ValueError("outcomes of several targets: choose the rows of one")
    outcome = outcome[norm_codes(outcome, norms) >= 0]
    columns = [COLUMNS[0], *keys, *COLUMNS[1:]]
    code, points = sweep_points(outcome, keys)
    rows: list[dict[str, Any]] = []
    for index in range(len(points)):
        part = outcome[code == index]
        present = [norm for norm in norms if (part["norm"] == norm).any()]
        seeds = sorted(part["seed"].unique()) if order is None else list(order)
        here = looks or fixed(len(seeds), alpha)
        runs = raced_runs(part, present, METRICS[rule.metric], seeds)
        if looks is None:
            runs.known[:] = True
        standing = replay(runs, rule, here, len(points))
        named = point_at(points, index)
        ranked = sorted(_rows(runs, standing, rule, here, len(points)), key=_rank(rule))
        for at, row in enumerate(ranked):
            norm = present[row["norm"]]
            rows.append({**row, **named, "norm": norm, "metric": rule.metric, "rank": at})
    return pd.DataFrame(rows, columns=columns)


def _rows(
    runs: RacedRuns, standing: Standing, rule: VerdictRule, looks: Looks, points: int
) -> list[dict[str, Any]]:
    """The rows of one point, the norms by their positions."""
    metric = METRICS[rule.metric]
    count = runs.scores.shape[1]
    order = [*standing.order, *(norm for norm in range(count) if norm not in standing.order)]
    sign = 1.0 if metric.higher_is_better else -1.0
    rows = []
    for rank, norm in enumerate(order):
        look = standing.decided.get(norm, standing.look)
        at = max(look, 0)
        seeds, alpha = looks.seeds[at], looks.alpha[at] / points
        family = standing.family[at] if standing.family else 1
        own = runs.scores[:seeds, norm]
        own = own[~np.isnan(own)]
        eliminated, ranked = norm in standing.decided, norm in standing.order
        to_leader, more, verdict = Gap(), np.nan, LEADER
        if not ranked:
            # Before the first look, or without any outcome.
            verdict = f"{TOO_FEW} (needs {needed_for(max(count, 2), alpha)})"
            if standing.look < 0:
                verdict = f"{TOO_FEW} (needs {looks.seeds[0]})"
        elif rank:
            leader = order[0]
            to_leader = gap(runs, norm, leader, seeds, metric, alpha / family)
            _align(to_leader, eliminated)
            more = np.nan if eliminated else _more(to_leader, family, alpha)
            if to_leader.within(margin_of(rule, runs.scores[:seeds, leader])):
                verdict = SIMILAR
            elif eliminated:
                verdict = WORSE
            else:
                need = needed_for(len(standing.racing), alpha)
                verdict = open_word(to_leader.pairs, to_leader.informative, need, metric)
        low, high = sorted((sign * to_leader.low, sign * to_leader.high))
        rows.append(
            {
                "norm": norm,
                "in_set": not eliminated,
                "seeds": len(own),
                "value": _value(own, metric.ranked) * sign if len(own) else np.nan,
                "difference": sign * to_leader.difference if rank else 0.0 if ranked else np.nan,
                "ci_low": low,
                "ci_high": high,
                "interval": to_leader.interval if rank or not ranked else "",
                "p_value": standing.p_value[norm],
                "verdict": verdict,
                "more_seeds": more,
                "look": float(looks.seeds[look]) if look >= 0 else np.nan,
            }
        )
    return rows


def _rank(rule: VerdictRule) -> Callable[[Mapping[str, Any]], tuple[int, float]]:
    """The key by which the rows of one point are sorted."""
    better = -1.0 if METRICS[rule.metric].higher_is_better else 1.0

    def rank(row: Mapping[str, Any]) -> tuple[int, float]:
        if np.isnan(row["value"]):
            return 3, 0.0
        serves = row["in_set"] or row["verdict"] == SIMILAR
        return 0 if row["verdict"] == LEADER else 1 if serves else 2, better * row["value"]

    return rank


def _value(own: np.ndarray, ranked: bool) -> float:
    if not ranked:
        return float(own.mean())
    ordered = np.sort(own)
    middle = ordered[(len(own) - 1) // 2], ordered[len(own) // 2]
    return float(middle[0] if middle[0] == middle[1] else (middle[0] + middle[1]) / 2)


def _align(gap: Gap, eliminated: bool) -> None:
    """Let the interval say what the elimination said."""
    if gap.interval != "simultaneous":
        return
    if not eliminated:
        gap.low, gap.high = min(gap.low, 0.0), max(gap.high, 0.0)
    elif gap.low >= 0 or gap.difference >= 0:
        gap.low = gap.high = np.nan
        gap.interval = "eliminated by another norm than the leader"
    else:
        gap.high = min(gap.high, float(np.nextafter(0, -1)))


def _more(gap: Gap, family: int, alpha: float) -> float:
    if not (gap.sd > 0 and np.isfinite(gap.difference) and gap.difference):
        return np.nan
    try:
        needed = seeds_for(gap.difference / gap.sd, family, alpha)
    except OverflowError:
        return np.nan
    return float(max(needed - gap.pairs, 1))
