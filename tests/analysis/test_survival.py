"""Against the worked example of every textbook: Freireich et al. 1963, Blood 21:699.

Weeks of remission of 21 + 21 children with leukaemia under 6-MP and placebo.
"""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from normbench.analysis.survival import kaplan_meier, logrank, with_logrank

RELAPSED = [6, 6, 6, 7, 10, 13, 16, 22, 23]
CENSORED = [6, 9, 10, 11, 17, 19, 20, 25, 32, 32, 34, 35]
WEEKS = RELAPSED + CENSORED
EVENT = [True] * len(RELAPSED) + [False] * len(CENSORED)
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]


def test_kaplan_meier_equals_the_published_curve() -> None:
    curve = kaplan_meier(WEEKS, EVENT).set_index("step")
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    for week, survival in published.items():
        assert curve.loc[week, "survival"] == pytest.approx(survival, abs=0.0005)
    at_risk = {6: 21, 7: 17, 10: 15, 13: 12, 16: 11, 22: 7, 23: 6}
    assert {week: curve.loc[week, "at_risk"] for week in at_risk} == at_risk


def test_the_curve_starts_at_one_at_step_zero_and_ends_at_the_last_censoring() -> None:
    curve = kaplan_meier(WEEKS, EVENT)
    assert curve.iloc[0][["step", "survival", "at_risk"]].tolist() == [0, 1, 21]
    assert curve.iloc[-1]["step"] == 35
    assert (np.diff(curve["survival"]) <= 0).all()


def test_the_band_of_the_curve_stays_between_zero_and_one() -> None:
    curve = kaplan_meier(WEEKS, EVENT).dropna()
    assert (curve["ci_low"] > 0).all()
    assert (curve["ci_high"] < 1).all()
    assert curve["survival"].between(curve["ci_low"], curve["ci_high"]).all()


@pytest.mark.parametrize("seed", range(10))
def test_the_curve_and_its_band_are_those_of_scipy(seed: int) -> None:
    draw = np.random.default_rng(seed)
    time, event = draw.integers(1, 8, 12).astype(float), draw.random(12) < 0.6
    curve = kaplan_meier(time, event).set_index("step")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = stats.ecdf(stats.CensoredData.right_censored(time, ~event)).sf
        band = theirs.confidence_interval(confidence_level=0.95, method="log-log")
    found = curve.loc[theirs.quantiles]
    assert found["survival"].to_numpy() == pytest.approx(theirs.probabilities)
    inner = (theirs.probabilities > 0) & (theirs.probabilities < 1)
    for ours, name in ((found["ci_low"], "low"), (found["ci_high"], "high")):
        bound = getattr(band, name).probabilities
        assert ours.to_numpy()[inner] == pytest.approx(bound[inner])
        assert ours[~inner].isna().all()


def brute_force_logrank(steps, reached, other_steps, other_reached) -> float:
    """Every swap within pairs, the observed less the expected events counted at every time."""

    def numerator(own: list[tuple[float, bool]], other: list[tuple[float, bool]]) -> float:
        total = 0.0
        both = own + other
        for moment in sorted({time for time, event in both if event}):
            events = sum(event and time == moment for time, event in both)
            at_risk = sum(time >= moment for time, _ in both)
            mine = sum(time >= moment for time, _ in own)
            total += sum(event and time == moment for time, event in own)
            total -= events * mine / at_risk
        return total

    first = list(zip(steps, reached, strict=True))
    second = list(zip(other_steps, other_reached, strict=True))
    observed = abs(numerator(first, second))
    values = []
    for swaps in itertools.product((False, True), repeat=len(first)):
        own = [b if swap else a for a, b, swap in zip(first, second, swaps, strict=True)]
        other = [a if swap else b for a, b, swap in zip(first, second, swaps, strict=True)]
        values.append(abs(numerator(own, other)) >= observed - 1e-9)
    return float(np.mean(values))


def test_logrank_equals_the_count_of_all_swaps_within_pairs() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        steps, other = (np.ceil(rng.exponential(5, 7)) for _ in range(2))
        reached, other_reached = steps < 8, other < 8
        arguments = (np.minimum(steps, 8), reached, np.minimum(other, 8), other_reached)
        assert logrank(*arguments) == pytest.approx(brute_force_logrank(*arguments))


def test_the_pairs_of_the_textbook_example_differ_beyond_doubt() -> None:
    # Asymptotic and unpaired the published p is 4.17e-5; random pairs of the same children agree.
    assert logrank(WEEKS, EVENT, PLACEBO, [True] * 21) < 1e-3


def test_logrank_is_empty_below_six_pairs_and_where_no_run_reached_the_target() -> None:
    assert np.isnan(logrank([10] * 5, [True] * 5, [100] * 5, [True] * 5))
    assert np.isnan(logrank([100] * 6, [False] * 6, [100] * 6, [False] * 6))
    # All six faster: the smallest p that six pairs can have, where the asymptotic test has 0.001.
    assert logrank([10] * 6, [True] * 6, [100] * 6, [True] * 6) == 2 / 2**6


def test_runs_that_all_missed_survive() -> None:
    curve = kaplan_meier([100, 100], [False, False])
    assert curve["survival"].tolist() == [1, 1]


def test_without_censoring_the_curve_is_the_share_still_running() -> None:
    curve = kaplan_meier([10, 20, 30, 40], [True] * 4)
    assert curve["survival"].tolist() == pytest.approx([1, 0.75, 0.5, 0.25, 0])


@pytest.mark.parametrize("steps", [[], [np.inf], [np.nan]])
def test_a_miss_must_be_given_with_its_budget(steps: list[float]) -> None:
    with pytest.raises(ValueError):
        kaplan_meier(steps, [False] * len(steps))


def test_the_table_carries_the_log_rank_test_with_holm_over_the_norms() -> None:
    steps = {"none": 500.0, "batch": 100.0, "layer": 500.0}
    rows = [
        {"norm": norm, "seed": seed, "target": 0.9, "restricted_steps": time + seed}
        for norm, time in steps.items()
        for seed in range(8)
    ]
    outcome = pd.DataFrame(rows).assign(reached=True, censored=False).sample(frac=1, random_state=0)
    table = pd.DataFrame({"norm": ["none", "batch", "layer"], "target": 0.9})
    tested = with_logrank(table, outcome, "none", []).set_index("norm")
    assert tested.loc["batch", "logrank_p"] == 2 / 2**8
    assert tested.loc["batch", "logrank_p_adjusted"] == 4 / 2**8
    assert tested.loc["layer", "logrank_p"] == 1
    assert np.isnan(tested.loc["none", "logrank_p"])
    few = with_logrank(table, outcome[outcome["seed"] < 3], "none", [])
    assert few["logrank_p"].isna().all()
