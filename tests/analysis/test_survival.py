"""Against the worked example of every textbook: Freireich et al. 1963, Blood 21:699.

Weeks of remission of 21 + 21 children with leukaemia under 6-MP and placebo.
"""

from __future__ import annotations

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


def test_logrank_equals_the_published_chi_squared() -> None:
    result = logrank(WEEKS, EVENT, PLACEBO, [True] * 21)
    assert result.statistic == pytest.approx(16.79, abs=0.005)
    assert result.p_value == pytest.approx(4.17e-5, rel=0.01)


@pytest.mark.parametrize("seed", range(20))
def test_logrank_is_the_square_of_scipys_statistic(seed: int) -> None:
    draw = np.random.default_rng(seed)
    groups = []
    for size in draw.integers(2, 12, 2):
        groups += [draw.integers(1, 6, size).astype(float), draw.random(size) < 0.6]
    x, y = (
        stats.CensoredData.right_censored(time, ~event) for time, event in (groups[:2], groups[2:])
    )
    with np.errstate(all="ignore"):
        theirs = stats.logrank(x, y)
    ours = logrank(*groups)
    assert ours.statistic == pytest.approx(float(theirs.statistic) ** 2, nan_ok=True)
    assert ours.p_value == pytest.approx(float(theirs.pvalue), nan_ok=True)


def test_logrank_has_no_value_where_no_run_reached_the_target() -> None:
    result = logrank([100, 100], [False, False], [100, 100], [False, False])
    assert np.isnan(result.statistic)
    assert np.isnan(result.p_value)


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


def test_the_table_carries_the_log_rank_test_against_the_baseline() -> None:
    outcome = pd.DataFrame(
        {
            "norm": ["6-MP"] * 21 + ["placebo"] * 21,
            "target": 0.9,
            "restricted_steps": [*WEEKS, *PLACEBO],
            "reached": [*EVENT, *[True] * 21],
        }
    ).assign(censored=lambda frame: ~frame["reached"])
    table = pd.DataFrame({"norm": ["placebo", "6-MP"], "target": 0.9})
    tested = with_logrank(table, outcome, "placebo", []).set_index("norm")
    assert tested.loc["6-MP", "logrank_chi2"] == pytest.approx(16.79, abs=0.01)
    assert np.isnan(tested.loc["placebo", "logrank_p"])
