"""Paired comparison: known answers, calibration under the null, and what the verdict says."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from normbench.analysis.comparison import COLUMNS, compare
from normbench.analysis.convergence import outcomes
from normbench.errors import ConfigError

BUDGET = 1000.0


def outcome_table(
    steps: dict[str, list[float]], accuracy: dict[str, list[float]] | None = None, **keys: float
) -> pd.DataFrame:
    """Outcomes of {norm: steps to target by seed}; None stands for a failed run."""
    rows = []
    for norm, times in steps.items():
        for seed, time in enumerate(times):
            failed = time is None
            value = (accuracy or {}).get(norm, [0.5] * len(times))[seed]
            rows.append(
                {
                    "norm": norm,
                    "seed": seed,
                    "target": 0.9,
                    "reached": not failed and np.isfinite(time),
                    "censored": not failed and np.isinf(time),
                    "steps_to_target": np.nan if failed else time,
                    "restricted_steps": np.nan if failed else min(time, BUDGET),
                    "auc": np.nan if failed else value,
                    "val_accuracy": np.nan if failed else value,
                    "test_accuracy": np.nan,
                    **keys,
                }
            )
    return pd.DataFrame(rows)


def row(table: pd.DataFrame, metric: str = "steps_to_target", **where: object) -> pd.Series:
    chosen = table[table["metric"] == metric]
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_the_columns_are_those_of_the_contract() -> None:
    outcome = outcome_table({"none": [500.0] * 3, "batch": [400.0] * 3}, depth=10)
    table = compare(outcome, ["none", "batch"], "none", ["depth"])
    assert list(table.columns) == [
        *("norm", "baseline", "depth", "metric", "pairs", "difference", "ci_low", "ci_high"),
        *("p_value", "p_adjusted", "p_better", "verdict"),
    ]


def test_a_norm_that_is_faster_at_every_seed_is_better() -> None:
    steps = {"none": [500.0 + 10 * i for i in range(8)], "batch": [300.0 + 5 * i for i in range(8)]}
    result = row(compare(outcome_table(steps), ["none", "batch"], "none", []))
    assert result["difference"] == pytest.approx(np.mean(steps["batch"]) - np.mean(steps["none"]))
    assert result["ci_low"] < result["difference"] < result["ci_high"] < 0
    assert result["p_value"] == result["p_adjusted"] == 2 / 2**8
    assert result["p_better"] == 1
    assert result["verdict"] == "better"


def test_higher_accuracy_is_better_and_lower_is_worse() -> None:
    accuracy = {"none": [0.5 + 0.01 * i for i in range(6)], "batch": [0.9] * 6, "rms": [0.1] * 6}
    steps = {norm: [500.0] * 6 for norm in accuracy}
    table = compare(outcome_table(steps, accuracy), ["none", "batch", "rms"], "none", [], alpha=0.1)
    assert row(table, "val_accuracy", norm="batch")["verdict"] == "better"
    assert row(table, "val_accuracy", norm="rms")["verdict"] == "worse"
    assert row(table, "val_accuracy", norm="rms")["p_better"] == 0


def test_a_miss_is_a_larger_difference_than_any_that_was_measured() -> None:
    # Seeds 0 to 6: batch is a little slower. Seed 7: only none misses. Rank 8 against 1 to 7:
    # the sum of ranks is 28 - 8 = 20; a mean of infinities would decide it all.
    steps = {"none": [100.0] * 7 + [np.inf], "batch": [110.0 + i for i in range(7)] + [900.0]}
    result = row(compare(outcome_table(steps), ["none", "batch"], "none", []))
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1)
    expected = np.mean(np.abs(np.arange(1, 9) @ signs) >= 20)
    assert result["p_value"] == pytest.approx(expected)
    assert result["difference"] == pytest.approx((sum(10 + i for i in range(7)) - 100) / 8)
    assert result["p_better"] == 1 / 8


def test_pairs_in_which_both_missed_are_ties_that_stay_among_the_pairs() -> None:
    steps = {"none": [np.inf] * 4 + [500.0] * 4, "batch": [np.inf] * 4 + [300.0] * 4}
    result = row(compare(outcome_table(steps), ["none", "batch"], "none", []))
    assert result["pairs"] == 8
    assert result["p_value"] == 2 / 2**4
    assert result["p_better"] == 0.75
    assert result["difference"] == -100
    assert result["verdict"] == "no evidence of a difference"


def test_a_norm_that_trains_where_the_baseline_always_misses_is_better() -> None:
    steps = {"none": [np.inf] * 6, "batch": [100.0 * i for i in range(1, 7)]}
    result = row(compare(outcome_table(steps), ["none", "batch"], "none", []))
    assert result["p_value"] == 2 / 2**6
    assert result["verdict"] == "better"


def test_five_seeds_are_too_few_and_the_verdict_says_how_many_are_needed() -> None:
    steps = {"none": [500.0] * 5, "batch": [100.0] * 5}
    result = row(compare(outcome_table(steps), ["none", "batch"], "none", []))
    assert result["p_value"] == 0.0625
    assert result["verdict"] == "too few seeds (needs at least 6)"


def test_six_seeds_are_too_few_for_six_comparisons_and_eight_are_enough() -> None:
    for seeds, verdict in ((6, "too few seeds (needs at least 8)"), (8, "better")):
        steps = {"none": [500.0] * seeds} | {f"n{i}": [100.0] * seeds for i in range(6)}
        table = compare(outcome_table(steps), list(steps), "none", [])
        assert (table[table["metric"] == "steps_to_target"]["verdict"] == verdict).all()


def test_a_norm_compared_with_itself_shows_no_difference() -> None:
    steps = {"none": [500.0, np.inf] * 4, "same": [500.0, np.inf] * 4}
    result = row(compare(outcome_table(steps), ["none", "same"], "none", []))
    numbers = ["difference", "ci_low", "ci_high", "p_value", "p_adjusted", "p_better"]
    assert result[numbers].tolist() == [0, 0, 0, 1, 1, 0.5]
    assert result["verdict"] == "no evidence of a difference"


def test_a_failed_run_takes_its_pair_out_and_the_count_shows_it() -> None:
    steps = {"none": [500.0] * 6, "batch": [100.0] * 5 + [None]}
    table = compare(outcome_table(steps), ["none", "batch"], "none", [])
    assert row(table)["pairs"] == 5
    assert row(table)["verdict"] == "too few seeds (needs at least 6)"


def test_a_norm_that_lost_all_its_pairs_keeps_its_row_and_its_place_in_holm() -> None:
    steps = {"none": [500.0] * 8, "batch": [100.0] * 8, "rms": [None] * 8}
    table = compare(outcome_table(steps), list(steps), "none", [])
    lost = row(table, norm="rms")
    assert lost["pairs"] == 0
    assert lost[["difference", "ci_low", "ci_high", "p_value", "p_adjusted"]].isna().all()
    assert lost["verdict"].startswith("too few seeds")
    assert row(table, norm="batch")["p_adjusted"] == pytest.approx(2 * 2 / 2**8)


def test_runs_pair_by_seed_whatever_their_order() -> None:
    outcome = outcome_table(
        {"none": [100.0, 200, 300, 400, 500, 600], "batch": [90.0, 190, 290, 390, 490, 590]}
    )
    table = compare(outcome, ["none", "batch"], "none", [])
    shuffled = compare(outcome.sample(frac=1, random_state=0), ["none", "batch"], "none", [])
    assert row(table)["difference"] == -10
    assert row(table)["verdict"] == "better"
    pd.testing.assert_frame_equal(table, shuffled)


def test_the_numbers_of_a_sweep_point_do_not_depend_on_the_other_points() -> None:
    rng = np.random.default_rng(0)
    frames = [
        outcome_table({n: list(rng.uniform(1, 1200, 7)) for n in ("a", "b", "c")}, depth=depth)
        for depth in (40, 10, 20)
    ]
    together = compare(pd.concat(frames), ["a", "b", "c"], "a", ["depth"])
    assert together["depth"].drop_duplicates().tolist() == [10, 20, 40]
    alone = compare(frames[0], ["a", "b", "c"], "a", ["depth"])
    part = together[together["depth"] == 40].reset_index(drop=True)
    pd.testing.assert_frame_equal(part, alone)


def test_sweep_points_may_have_different_norms_and_seeds() -> None:
    wide = outcome_table({"a": [500.0] * 7, "b": [100.0] * 7, "c": [100.0] * 7}, depth=1)
    narrow = outcome_table({"a": [500.0] * 6, "b": [100.0] * 6}, depth=2)
    narrow["seed"] += 1000
    table = compare(pd.concat([wide, narrow]), ["a", "b", "c"], "a", ["depth"])
    steps = table[table["metric"] == "steps_to_target"]
    assert steps[["depth", "norm", "pairs"]].to_numpy().tolist() == [
        [1, "b", 7],
        [1, "c", 7],
        [2, "b", 6],
    ]
    assert (steps["verdict"] == "better").all()


def test_holm_runs_over_the_norms_of_one_metric_and_sweep_point() -> None:
    # One of the three differs at every one of 10 seeds: 2/1024 x 3; the others tie at 1.
    steps = {n: [500.0] * 10 for n in ("none", "a", "b")} | {"c": [100.0] * 10}
    table = compare(outcome_table(steps), list(steps), "none", [])
    steps_rows = table[table["metric"] == "steps_to_target"]
    assert steps_rows["p_adjusted"].tolist() == pytest.approx([1, 1, 3 * 2 / 2**10])


def test_all_pairs_compare_every_two_norms_with_the_baseline_as_such() -> None:
    steps = {"a": [500.0] * 9, "none": [400.0] * 9, "b": [300.0] * 9}
    table = compare(outcome_table(steps), ["a", "none", "b"], "none", [], all_pairs=True)
    pairs = table[table["metric"] == "steps_to_target"][["norm", "baseline", "verdict"]]
    assert pairs.to_numpy().tolist() == [
        ["a", "none", "worse"],
        ["b", "none", "better"],
        ["b", "a", "better"],
    ]


def test_a_metric_that_no_run_has_makes_no_rows() -> None:
    table = compare(outcome_table({"a": [1.0] * 3, "b": [2.0] * 3}), ["a", "b"], "a", [])
    assert table["metric"].tolist() == ["steps_to_target", "auc", "val_accuracy"]


def test_when_every_run_failed_the_comparison_still_stands_without_numbers() -> None:
    table = compare(outcome_table({"a": [None] * 3, "b": [None] * 3}), ["a", "b"], "a", [])
    assert len(table) == 4
    assert (table["pairs"] == 0).all()


def test_one_norm_alone_gives_an_empty_table_with_columns() -> None:
    table = compare(outcome_table({"a": [1.0] * 3}), ["a"], "a", [])
    assert len(table) == 0
    assert list(table.columns) == list(COLUMNS)


def test_no_runs_give_an_empty_table_with_columns() -> None:
    outcome = outcome_table({"a": [1.0], "b": [1.0]}, depth=1).iloc[:0]
    table = compare(outcome, ["a", "b"], "a", ["depth"])
    assert len(table) == 0
    assert "depth" in table.columns


def test_the_verdict_follows_the_ranks_that_were_tested() -> None:
    # One huge loss turns the mean, thirteen small gains the ranks.
    steps = {"a": [100.0 + i for i in range(14)], "b": [99.0 - i for i in range(13)] + [990.0]}
    result = row(compare(outcome_table(steps), ["a", "b"], "a", []))
    assert result["difference"] > 0
    assert result["p_better"] == pytest.approx(13 / 14)
    assert result["verdict"] == "better"


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


@pytest.mark.parametrize("seeds", [6, 8, 16])
def test_a_norm_against_itself_is_better_or_worse_in_at_most_five_percent(seeds: int) -> None:
    table = compare(simulated(4000, seeds, effect=1.0), ["a", "b"], "a", ["group"], resamples=99)
    wrong = table["verdict"].isin(["better", "worse"]).groupby(table["metric"]).mean()
    # A true five percent of 4000 experiments comes out at up to 6 % (three standard errors).
    assert len(wrong) == 4
    assert (wrong <= 0.06).all()
    assert wrong.mean() <= 0.053


def test_holm_keeps_any_of_four_false_verdicts_below_five_percent() -> None:
    names = ["a", "b", "c", "d", "e"]
    table = compare(simulated(1500, 10, effect=1.0, norms=5), names, "a", ["group"], resamples=99)
    wrong = table["verdict"].isin(["better", "worse"])
    any_wrong = wrong.groupby([table["metric"], table["group"]]).any().groupby("metric").mean()
    assert (any_wrong <= 0.067).all()  # three standard errors
    assert any_wrong.mean() <= 0.05


def test_a_known_effect_with_censoring_is_found_and_its_size_covered() -> None:
    outcome = simulated(1000, 12, effect=0.6)
    table = compare(outcome, ["a", "b"], "a", ["group"], metrics=["steps_to_target"])
    assert (table["verdict"] == "better").mean() > 0.9
    assert not (table["verdict"] == "worse").any()
    big = simulated(60_000, 2, effect=0.6).groupby("norm")["restricted_steps"].mean()
    truth = big["b"] - big["a"]
    covered = np.mean((table["ci_low"] <= truth) & (truth <= table["ci_high"]))
    assert 0.92 <= covered <= 0.98


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
    table = compare(outcomes(runs, curves, [0.9]), ["none", "batch"], "none", [])
    assert row(table)["difference"] == 300 - 1000
    assert (table["verdict"] == "better").all()
