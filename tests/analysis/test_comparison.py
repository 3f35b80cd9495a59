"""Paired comparison: known answers, calibration under the null, and what pairs with what."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from paired_outcomes import BUDGET, by_steps, outcome_table, row

from normbench.analysis.comparison import COLUMNS, compare
from normbench.analysis.convergence import outcomes
from normbench.analysis.power import share_of_look
from normbench.analysis.rule import VerdictRule
from normbench.errors import ConfigError


def test_the_columns_are_those_of_the_contract() -> None:
    outcome = outcome_table({"none": [500.0] * 3, "batch": [400.0] * 3}, depth=10)
    table = compare(outcome, ["none", "batch"], "none", ["depth"])
    assert list(table.columns) == [
        *("norm", "baseline", "depth", "metric", "pairs", "informative", "difference", "ci_low"),
        *("ci_high", "interval", "p_value", "p_adjusted", "p_better", "detectable", "verdict"),
    ]


def test_only_the_judged_metric_has_words_and_adjusted_p_values_and_it_comes_first() -> None:
    rng = np.random.default_rng(0)
    scores = {"none": list(rng.normal(0.5, 0.01, 8)), "batch": list(rng.normal(0.8, 0.01, 8))}
    steps = {norm: list(rng.uniform(100, 900, 8)) for norm in scores}
    table = compare(outcome_table(steps, scores), ["none", "batch"], "none", [])
    assert table["metric"].tolist() == ["auc", "steps_to_target", "val_accuracy"]
    judged, *others = table.to_dict("records")
    assert judged["verdict"] == "better"
    assert judged["interval"] == "simultaneous"
    assert judged["p_adjusted"] == 2 / 2**8
    for other in others:
        assert other["verdict"] == ""
        assert other["interval"] == "unadjusted"
        assert np.isnan(other["p_adjusted"])
        assert other["p_value"] <= 1
    exploratory = compare(outcome_table(steps, scores), ["none", "batch"], "none", [], rule=None)
    assert (exploratory["verdict"] == "").all()


def test_a_norm_that_is_faster_at_every_seed_is_better() -> None:
    steps = {"none": [500.0 + 10 * i for i in range(8)], "batch": [300.0 + 5 * i for i in range(8)]}
    result = row(by_steps(outcome_table(steps), ["none", "batch"], "none"))
    assert result["difference"] == np.median(np.subtract(steps["batch"], steps["none"]))
    assert result["ci_low"] < result["difference"] < result["ci_high"] < 0
    assert result["p_value"] == result["p_adjusted"] == 2 / 2**8
    assert result["p_better"] == 1
    assert result["verdict"] == "better"


def test_a_pair_whose_seeds_came_in_looks_is_judged_at_the_share_of_its_look() -> None:
    steps = {"none": [500.0 + 10 * i for i in range(8)], "batch": [300.0 + 5 * i for i in range(8)]}
    outcome = outcome_table(steps)
    once = row(by_steps(outcome, ["none", "batch"], "none"))
    first = row(by_steps(outcome, ["none", "batch"], "none", looks=(8, 12, 16)))
    later = row(by_steps(outcome, ["none", "batch"], "none", looks=(4, 8, 12)))
    assert once["p_value"] == first["p_value"] == later["p_value"]
    assert first["p_adjusted"] == pytest.approx(once["p_adjusted"] / share_of_look(8, (8, 12, 16)))
    assert later["p_adjusted"] == pytest.approx(once["p_adjusted"] / share_of_look(8, (4, 8, 12)))
    assert (first["verdict"], later["verdict"]) == ("better", "too few seeds (needs 9)")


def test_higher_accuracy_is_better_and_lower_is_worse() -> None:
    accuracy = {"none": [0.5 + 0.01 * i for i in range(7)], "batch": [0.9] * 7, "rms": [0.1] * 7}
    steps = {norm: [500.0] * 7 for norm in accuracy}
    rule = VerdictRule("val_accuracy")
    table = compare(outcome_table(steps, accuracy), ["none", "batch", "rms"], "none", [], rule=rule)
    assert row(table, "val_accuracy", norm="batch")["verdict"] == "better"
    assert row(table, "val_accuracy", norm="rms")["verdict"] == "worse"
    assert row(table, "val_accuracy", norm="rms")["p_better"] == 0


def test_a_failed_run_takes_its_pair_out_and_the_count_shows_it() -> None:
    steps = {"none": [500.0] * 6, "batch": [100.0] * 5 + [None]}
    table = by_steps(outcome_table(steps), ["none", "batch"], "none")
    assert row(table)["pairs"] == 5
    assert row(table)["verdict"] == "too few seeds (needs 6)"


def test_a_norm_that_lost_all_its_pairs_keeps_its_row_and_its_place_in_holm() -> None:
    steps = {"none": [500.0] * 8, "batch": [100.0] * 8, "rms": [None] * 8}
    table = by_steps(outcome_table(steps), list(steps), "none")
    lost = row(table, norm="rms")
    assert lost["pairs"] == 0
    assert lost[["difference", "ci_low", "ci_high", "p_value", "p_adjusted"]].isna().all()
    assert lost["verdict"].startswith("too few seeds")
    assert row(table, norm="batch")["p_adjusted"] == pytest.approx(2 * 2 / 2**8)


def test_runs_pair_by_seed_whatever_their_order() -> None:
    outcome = outcome_table(
        {"none": [100.0, 200, 300, 400, 500, 600], "batch": [90.0, 190, 290, 390, 490, 590]}
    )
    table = by_steps(outcome, ["none", "batch"], "none")
    shuffled = by_steps(outcome.sample(frac=1, random_state=0), ["none", "batch"], "none")
    assert row(table)["difference"] == -10
    assert row(table)["verdict"] == "better"
    pd.testing.assert_frame_equal(table, shuffled)


def test_sweep_points_may_have_different_norms_and_seeds() -> None:
    wide = outcome_table({"a": [500.0] * 7, "b": [100.0] * 7, "c": [100.0] * 7}, depth=1)
    narrow = outcome_table({"a": [500.0] * 8, "b": [100.0] * 8}, depth=2)
    narrow["seed"] += 1000
    table = by_steps(pd.concat([wide, narrow]), ["a", "b", "c"], "a", keys=["depth"])
    steps = table[table["metric"] == "steps_to_target"]
    assert steps[["depth", "norm", "pairs"]].to_numpy().tolist() == [
        [1, "b", 7],
        [1, "c", 7],
        [2, "b", 8],
    ]
    assert (steps["verdict"] == "better").all()


def test_holm_runs_over_every_comparison_of_the_judged_metric_sweep_points_included() -> None:
    # One of the three differs at every one of 10 seeds: 2/1024 x 3; the others tie at 1.
    steps = {n: [500.0] * 10 for n in ("none", "a", "b")} | {"c": [100.0] * 10}
    table = by_steps(outcome_table(steps), list(steps), "none")
    steps_rows = table[table["metric"] == "steps_to_target"]
    assert steps_rows["p_adjusted"].tolist() == pytest.approx([1, 1, 3 * 2 / 2**10])
    swept = pd.concat([outcome_table(steps, depth=depth) for depth in (1, 2)])
    table = by_steps(swept, list(steps), "none", keys=["depth"])
    steps_rows = table[table["metric"] == "steps_to_target"]
    assert steps_rows["p_adjusted"].tolist() == pytest.approx([1, 1, 6 * 2 / 2**10] * 2)


def test_all_pairs_compare_every_two_norms_with_the_baseline_as_such() -> None:
    steps = {"a": [500.0] * 9, "none": [400.0] * 9, "b": [300.0] * 9}
    table = by_steps(outcome_table(steps), ["a", "none", "b"], "none", all_pairs=True)
    pairs = table[table["metric"] == "steps_to_target"][["norm", "baseline", "verdict"]]
    assert pairs.to_numpy().tolist() == [
        ["a", "none", "worse"],
        ["b", "none", "better"],
        ["b", "a", "better"],
    ]


def test_a_metric_that_no_run_has_makes_no_rows() -> None:
    table = compare(outcome_table({"a": [1.0] * 3, "b": [2.0] * 3}), ["a", "b"], "a", [])
    assert table["metric"].tolist() == ["auc", "steps_to_target", "val_accuracy"]


def test_when_every_run_failed_the_comparison_still_stands_without_numbers() -> None:
    table = compare(outcome_table({"a": [None] * 3, "b": [None] * 3}), ["a", "b"], "a", [])
    assert len(table) == 4
    assert (table["pairs"] == 0).all()


def test_one_norm_alone_and_no_runs_give_an_empty_table_with_columns() -> None:
    table = compare(outcome_table({"a": [1.0] * 3}), ["a"], "a", [])
    assert len(table) == 0
    assert list(table.columns) == list(COLUMNS)
    outcome = outcome_table({"a": [1.0], "b": [1.0]}, depth=1).iloc[:0]
    table = compare(outcome, ["a", "b"], "a", ["depth"])
    assert len(table) == 0
    assert "depth" in table.columns


def test_an_unknown_baseline_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'batch'"):
        compare(outcome_table({"batch": [1.0]}), ["batch"], "btach", [])


def test_an_unknown_metric_two_targets_and_doubled_runs_are_refused() -> None:
    outcome = outcome_table({"a": [1.0], "b": [2.0]})
    with pytest.raises(ValueError, match="unknown metric 'acu'"):
        compare(outcome, ["a", "b"], "a", [], metrics=["acu"])
    both = pd.concat([outcome, outcome.assign(target=0.95)])
    with pytest.raises(ValueError, match="several targets"):
        compare(both, ["a", "b"], "a", [])
    with pytest.raises(ValueError, match="'a' has two runs with seed 0"):
        compare(pd.concat([outcome, outcome]), ["a", "b"], "a", [])


def simulated(groups: int, seeds: int, effect: float, norms: int = 2) -> pd.DataFrame:
    """Outcomes of ``groups`` experiments: seeds shared by the norms, ties and about 25 % missing.

    ``effect`` is the factor on the time of every norm but the first.
    """
    rng = np.random.default_rng([groups, seeds, norms])
    shape = (groups, norms, seeds)
    group, norm, seed = (index.ravel() for index in np.indices(shape))
    shared = rng.normal(0, 0.3, (groups, 1, seeds))
    time = np.exp(6.5 + shared + rng.normal(0, 0.3, shape))
    time[:, 1:] *= effect
    time = np.ceil(time / 100) * 100
    time = np.where(time > BUDGET, np.inf, time).ravel()
    accuracy = np.round(360 * rng.beta(30, 2, shape)).ravel() / 360
    names = np.array(["a", "b", "c", "d", "e"][:norms], dtype=object)
    return pd.DataFrame(
        {
            "norm": names[norm],
            "seed": seed,
            "group": group,
            "target": 0.9,
            "reached": np.isfinite(time),
            "censored": np.isinf(time),
            "steps_to_target": time,
            "restricted_steps": np.minimum(time, BUDGET),
            "auc": rng.normal(0.7, 0.1, shape).ravel() + 0.1 * shared.repeat(norms, 1).ravel(),
            "val_accuracy": accuracy,
            "test_accuracy": np.where(rng.random(accuracy.shape) < 0.5, accuracy, 0.9),
        }
    )


@pytest.mark.parametrize("metric", ["auc", "steps_to_target"])
def test_no_word_contradicts_its_interval_or_its_p_value(metric: str) -> None:
    for effect in (1.0, 0.8):
        outcome = simulated(15, 9, effect=effect, norms=3)
        for group in range(15):
            one = outcome[outcome["group"] == group]
            table = compare(one, ["a", "b", "c"], "a", [], rule=VerdictRule(metric, 0.02))
            table = table[table["metric"] == metric]
            shown = table[table["interval"] == "simultaneous"]
            excludes = (shown["ci_low"] > 0) | (shown["ci_high"] < 0)
            assert (excludes == (shown["p_adjusted"] <= 0.05)).all()
            decided = table["verdict"].isin(["better", "worse"])
            assert (table.loc[decided, "p_adjusted"] <= 0.05).all()
            assert (shown["ci_low"] < shown["ci_high"]).all()


def test_any_false_word_comes_in_at_most_five_percent_of_experiments() -> None:
    # 150 experiments of four equal norms; three standard errors of 5 % are 5.3 points.
    outcome = simulated(150, 8, effect=1.0, norms=4)
    wrong = []
    for _, one in outcome.groupby("group"):
        table = compare(one, ["a", "b", "c", "d"], "a", [], metrics=[])
        wrong.append(table["verdict"].isin(["better", "worse"]).any())
    assert np.mean(wrong) <= 0.05 + 0.053


def test_outcomes_of_real_curves_go_straight_into_the_comparison(tables, curve) -> None:
    runs, curves = tables(
        [
            {
                "norm": norm,
                "seed": seed,
                "curve": curve(step),
                "state": state,
                "diverged_at": 50,
                "test_accuracy": 0.9,
            }
            for seed in range(6)
            for norm, step, state in (("none", 700, "diverged"), ("batch", 300, "finished"))
        ]
    )
    table = by_steps(outcomes(runs, curves, [0.9]), ["none", "batch"], "none")
    assert np.isneginf(row(table)["difference"])
    assert row(table)["verdict"] == "better"
