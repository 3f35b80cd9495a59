"""Time to target as survival data: the Kaplan-Meier curve and the log-rank test."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy import special

Floats = NDArray[np.float64]


def kaplan_meier(steps: ArrayLike, reached: ArrayLike, confidence: float = 0.95) -> pd.DataFrame:
    """Kaplan-Meier estimate of the share of runs that have not yet reached the target.

    steps: [n] time of the event, or of the censoring where not ``reached`` [n]; that is,
    ``restricted_steps`` and ``reached`` of the outcomes that are reached or censored. Returns one
    row for each distinct time, and one for step 0, with columns step, survival, at_risk (runs
    under observation just before), ci_low and ci_high (pointwise, log-log Greenwood; NaN where
    survival is 0 or 1). Kaplan & Meier 1958, JASA 53:457; computed by ``scipy.stats.ecdf``.

    Raises ValueError for no runs or a time that is not finite.
    """
    from scipy import stats  # takes half a second; the tables need no curve

    time, event = _survival_arrays(steps, reached)
    curve = stats.ecdf(stats.CensoredData.right_censored(time, ~event)).sf
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The confidence interval is undefined")
        bounds = curve.confidence_interval(confidence_level=confidence, method="log-log")
    table = pd.DataFrame(
        {
            "step": curve.quantiles,
            "survival": curve.probabilities,
            "at_risk": len(time) - np.searchsorted(np.sort(time), curve.quantiles, side="left"),
            "ci_low": bounds.low.probabilities,
            "ci_high": bounds.high.probabilities,
        }
    )
    if table["step"].iloc[0] > 0:
        start = {"step": 0.0, "survival": 1.0, "at_risk": len(time)}
        table = pd.concat([pd.DataFrame([start]), table], ignore_index=True)
    return table


class LogRank(NamedTuple):
    """``statistic`` is chi-squared with one degree of freedom under the null hypothesis."""

    statistic: float
    p_value: float


def logrank(
    steps: ArrayLike, reached: ArrayLike, other_steps: ArrayLike, other_reached: ArrayLike
) -> LogRank:
    """Log-rank test that two groups of runs reach the target equally fast.

    Arguments as for ``kaplan_meier``, [n] and [m]. Takes the groups as independent, so it does not
    use the pairing by seed, and its p-value is asymptotic: the verdict comes from ``compare``.
    NaN where no run of either group reached the target. Mantel 1966, Cancer Chemother. Rep. 50:163:
    (reached - expected)^2 / variance, both summed over the times at which some run reached it, with
    the hypergeometric variance of that count.

    Raises ValueError for an empty group or a time that is not finite.
    """
    time, event = _survival_arrays(steps, reached)
    other_time, other_event = _survival_arrays(other_steps, other_reached)
    own, other = np.sort(time), np.sort(other_time)
    times, events = np.unique(
        np.concatenate([time[event], other_time[other_event]]), return_counts=True
    )
    at_risk = len(own) - np.searchsorted(own, times)
    both = at_risk + len(other) - np.searchsorted(other, times)
    share = at_risk / both
    surprise = event.sum() - (events * share).sum()
    variance = (events * share * (1 - share) * (both - events) / np.maximum(both - 1, 1)).sum()
    if len(times) == 0 or variance == 0:
        return LogRank(float("nan"), float("nan"))
    chi2 = float(surprise**2 / variance)
    return LogRank(chi2, float(special.chdtrc(1, chi2)))


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

    table: rows of ``convergence.tabulate``; outcome: the runs behind it. Adds logrank_chi2 and
    logrank_p, over the runs with an outcome at the same sweep point and target; NaN for the
    baseline itself, where either has no run, and where no run reached the target.
    """
    columns = [*keys, "target", "norm"]
    known = outcome[outcome["reached"] | outcome["censored"]]
    groups = {tuple(name): part for name, part in known.groupby(columns, dropna=False)}
    nothing = LogRank(float("nan"), float("nan"))
    tests = []
    for row in table[columns].itertuples(index=False, name=None):
        own, other = groups.get(row), groups.get((*row[:-1], baseline))
        if row[-1] == baseline or own is None or other is None:
            tests.append(nothing)
            continue
        own, other = (part[["restricted_steps", "reached"]] for part in (own, other))
        tests.append(logrank(*own.to_numpy().T, *other.to_numpy().T))
    return table.assign(
        logrank_chi2=[test.statistic for test in tests], logrank_p=[test.p_value for test in tests]
    )
