"""Time to target as survival data: the Kaplan-Meier curve and the log-rank test."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from normbench.analysis.statistics import holm, sign_flip_p

Floats = NDArray[np.float64]

FEWEST_PAIRS = 6
"""With fewer no outcome reaches 0.05: 2/2^5 is 0.0625."""


def kaplan_meier(steps: ArrayLike, reached: ArrayLike, confidence: float = 0.95) -> pd.DataFrame:
    """Kaplan-Meier estimate of the share of runs that have not yet reached the target.

    steps: [n] time of the event, or of the censoring where not ``reached`` [n]; that is,
    ``restricted_steps`` and ``reached`` of the outcomes that are reached or censored. Returns one
    row for each distinct time, and one for step 0, with columns step, survival, at_risk (runs
    under observation just before), ci_low and ci_high (pointwise, log-log Greenwood; NaN where
    survival is 0 or 1). Kaplan & Meier 1958, JASA 53:457: the product of 1 - d/n over the times,
    with d events of n at risk; Greenwood's variance of log(-log(survival)) is the sum of
    d/(n (n - d)) over log(survival)^2.

    Raises ValueError for no runs or a time that is not finite.
    """
    time, event = _survival_arrays(steps, reached)
    times, moment = np.unique(time, return_inverse=True)
    at_risk = len(time) - np.searchsorted(np.sort(time), times)
    events = np.bincount(moment, weights=event, minlength=len(times))
    survival = np.cumprod(1 - events / at_risk)
    with np.errstate(divide="ignore", invalid="ignore"):
        greenwood = np.cumsum(events / (at_risk * (at_risk - events)))
        log = np.log(survival)
        spread = NormalDist().inv_cdf(0.5 + confidence / 2) * np.sqrt(greenwood) / log
        low, high = survival ** np.exp(-spread), survival ** np.exp(spread)
    sure = (survival == 0) | (survival == 1)
    table = pd.DataFrame(
        {
            "step": times,
            "survival": survival,
            "at_risk": at_risk,
            "ci_low": np.where(sure, np.nan, low),
            "ci_high": np.where(sure, np.nan, high),
        }
    )
    if table["step"].iloc[0] > 0:
        start = {"step": 0.0, "survival": 1.0, "at_risk": len(time)}
        table = pd.concat([pd.DataFrame([start]), table], ignore_index=True)
    return table


def logrank(
    steps: ArrayLike, reached: ArrayLike, other_steps: ArrayLike, other_reached: ArrayLike
) -> float:
    """Two-sided p-value of the log-rank test for runs that pair by place, exact.

    Arguments as for ``kaplan_meier``, all [n]. Under the null hypothesis the two runs of a pair are
    exchangeable. The log-rank numerator, events less expected ones in the first group (Mantel
    1966), is the sum of its runs' scores: event less the cumulative hazard of all runs at the
    run's time. The scores sum to zero over both groups, and swapping the runs of a pair leaves
    them as they are, so the test over all 2^n swaps is the sign-flip test of the differences of
    the scores within the pairs. The asymptotic test takes the groups as independent, and calls 3
    against 3 runs significant.

    NaN below ``FEWEST_PAIRS`` pairs, which could not reach 0.05, and where no run reached the
    target. Raises ValueError for groups of unequal size or a time that is not finite.
    """
    time, event = _survival_arrays(steps, reached)
    other_time, other_event = _survival_arrays(other_steps, other_reached)
    if len(time) != len(other_time):
        raise ValueError("the runs of the two groups must pair")
    if len(time) < FEWEST_PAIRS or not (event.any() or other_event.any()):
        return float("nan")
    scores = _logrank_scores(np.r_[time, other_time], np.r_[event, other_event])
    return float(sign_flip_p((scores[: len(time)] - scores[len(time) :])[None])[0])


def _logrank_scores(time: Floats, event: NDArray[np.bool_]) -> Floats:
    """Event less the Nelson-Aalen cumulative hazard of all runs at each run's time: [n] -> [n]."""
    moments, moment = np.unique(time, return_inverse=True)
    events = np.bincount(moment, event)
    at_risk = len(time) - np.searchsorted(np.sort(time), moments, side="left")
    return event - np.cumsum(events / at_risk)[moment]


def _survival_arrays(steps: ArrayLike, reached: ArrayLike) -> tuple[Floats, NDArray[np.bool_]]:
    time, event = np.asarray(steps, dtype=float), np.asarray(reached, dtype=bool)
    if time.ndim != 1 or time.shape != event.shape or time.size == 0:
        raise ValueError("steps and reached must be two equally long, non-empty lists")
    if not np.isfinite(time).all():
        raise ValueError("a run that missed is given with its budget, not with inf or NaN")
    return time, event


def with_logrank(
    table: pd.DataFrame, outcome: pd.DataFrame, baseline: str, keys: Sequence[str]
) -> pd.DataFrame:
    """A convergence table with the log-rank test of each row's norm against the baseline.

    table: rows of ``convergence.tabulate``; outcome: the runs behind it. Adds logrank_p, over the
    seeds with an outcome under both norms at the same sweep point and target, see ``logrank``, and
    logrank_p_adjusted, Holm over the norms and sweep points of each target. Both are NaN for the
    baseline itself, below ``FEWEST_PAIRS`` pairs, and where no run reached the target.
    """
    columns = [*keys, "target", "norm"]
    known = outcome[outcome["reached"] | outcome["censored"]].set_index("seed")
    known = known[[*columns, "restricted_steps", "reached"]]
    groups = {tuple(name): part for name, part in known.groupby(columns, dropna=False)}
    p = np.full(len(table), np.nan)
    for index, row in enumerate(table[columns].itertuples(index=False, name=None)):
        own, other = groups.get(row), groups.get((*row[:-1], baseline))
        if row[-1] == baseline or own is None or other is None:
            continue
        seeds = own.index.intersection(other.index)
        if len(seeds):
            own, other = (part.loc[seeds] for part in (own, other))
            p[index] = logrank(
                own["restricted_steps"],
                own["reached"],
                other["restricted_steps"],
                other["reached"],
            )
    adjusted = np.full(len(table), np.nan)
    planned = (table["norm"] != baseline).to_numpy()
    for target in table["target"].unique():
        rows = (table["target"] == target).to_numpy()
        adjusted[rows] = holm(p[rows], np.array((rows & planned).sum()))
    return table.assign(logrank_p=p, logrank_p_adjusted=adjusted)
