"""Outcomes of single runs, and the convergence table."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from normbench.analysis.convergence import TABLE_COLUMNS, outcomes, tabulate

CHANCE = 0.1


def convergence_table(runs, curves, targets, keys, norms) -> pd.DataFrame:
    return tabulate(outcomes(runs, curves, targets), keys, norms)


def only(frame: pd.DataFrame) -> pd.Series:
    assert len(frame) == 1
    return frame.iloc[0]


def test_steps_to_target_is_the_first_evaluation_at_or_above_it(tables) -> None:
    runs, curves = tables([{"curve": {0: 0.1, 100: 0.89, 200: 0.9, 300: 0.5, 1000: 0.95}}])
    run = only(outcomes(runs, curves, [0.9]))
    assert run["steps_to_target"] == run["restricted_steps"] == run["steps_spent"] == 200
    assert run["examples_to_target"] == 200 * 32
    assert run["seconds_to_target"] == 2.0
    assert run["reached"]
    assert not run["censored"]


def test_a_run_that_used_its_budget_in_vain_is_censored(tables, curve) -> None:
    runs, curves = tables([{"curve": curve(np.inf)}])
    run = only(outcomes(runs, curves, [0.9]))
    assert all(np.isposinf(run[f"{unit}_to_target"]) for unit in ("steps", "seconds", "examples"))
    assert run["restricted_steps"] == run["steps_spent"] == 1000
    assert run["censored"]
    assert not run["reached"]


@pytest.mark.parametrize("state", ["failed", "interrupted", "running", "missing"])
def test_a_run_without_a_result_is_neither_reached_nor_censored(tables, curve, state) -> None:
    runs, curves = tables([{"curve": curve(300), "state": state}])
    run = only(outcomes(runs, curves, [0.9]))
    assert not run["reached"]
    assert not run["censored"]
    measured = ["steps_to_target", "auc", "val_accuracy", "best_val_accuracy", "restricted_steps"]
    assert run[measured].isna().all()


def test_a_finished_run_without_any_evaluation_has_no_outcome(tables) -> None:
    runs, curves = tables([{}, {"state": "diverged", "diverged_at": 3}])
    finished, diverged = outcomes(runs, curves, [0.9]).itertuples()
    assert not finished.censored
    assert np.isnan(finished.auc)
    assert diverged.censored
    assert diverged.auc == pytest.approx(CHANCE)


def test_a_diverged_run_reaches_nothing_after_its_divergence(tables) -> None:
    # The evaluation at the step of the divergence is one of a broken network.
    curve = {0: 0.1, 100: 0.5, 200: 0.95}
    runs, curves = tables([{"curve": curve, "state": "diverged", "diverged_at": 200}])
    run = only(outcomes(runs, curves, [0.9]))
    assert run["censored"]
    assert run["restricted_steps"] == 1000
    assert run["steps_spent"] == 200
    assert run["best_val_accuracy"] == 0.5


def test_a_run_that_reached_the_target_before_it_diverged_has_reached_it(tables) -> None:
    curve = {0: 0.1, 100: 0.95, 200: 0.95}
    runs, curves = tables([{"curve": curve, "state": "diverged", "diverged_at": 250}])
    run = only(outcomes(runs, curves, [0.9]))
    assert run["reached"]
    assert run["steps_to_target"] == 100
    assert run["best_val_accuracy"] == 0.95
    assert run["val_accuracy"] == CHANCE


def test_a_diverged_run_ends_at_chance_whatever_it_recorded(tables) -> None:
    runs, curves = tables(
        [
            {"curve": {0: 0.1, 1000: 0.9}, "test_accuracy": 0.88},
            {"curve": {0: 0.05}, "state": "diverged", "diverged_at": 9, "test_accuracy": np.nan},
        ]
    )
    frame = outcomes(runs, curves, [0.9])
    assert frame["test_accuracy"].tolist() == [0.88, CHANCE]
    assert frame["val_accuracy"].tolist() == [0.9, CHANCE]
    assert frame["best_val_accuracy"].tolist() == [0.9, CHANCE]


def test_training_and_precise_accuracy_stand_beside_the_others(tables) -> None:
    runs, curves = tables(
        [
            {"curve": {0: 0.1, 1000: 0.9}},
            {"curve": {0: 0.1, 1000: 0.8}},
            {"curve": {0: 0.05}, "state": "diverged", "diverged_at": 9},
            {"state": "failed"},
        ]
    )
    older = outcomes(runs, curves, [0.9])
    assert older[["train_accuracy", "val_accuracy_precise"]].isna().all(axis=None)
    runs["train_accuracy"] = [1.0, 0.9, 0.7, 0.6]
    runs["val_accuracy_precise"] = [0.92, 0.86, np.nan, np.nan]
    frame = outcomes(runs, curves, [0.9])
    np.testing.assert_array_equal(frame["train_accuracy"], [1.0, 0.9, CHANCE, np.nan])
    (row,) = tabulate(frame, [], ["batch"]).to_dict("records")
    assert row["train_accuracy_mean"] == pytest.approx((1.9 + CHANCE) / 3)
    assert row["val_accuracy_precise_mean"] == pytest.approx(0.89)


def test_a_diverged_run_has_chance_as_test_accuracy_even_if_none_finished(tables) -> None:
    runs, curves = tables([{"state": "diverged", "diverged_at": 9}])
    assert outcomes(runs, curves, [0.9])["test_accuracy"].tolist() == [CHANCE]


def test_the_area_is_that_of_the_trapezoids(tables) -> None:
    runs, curves = tables([{"curve": {0: 0.1, 200: 0.5, 1000: 0.9}}])
    expected = (200 * 0.3 + 800 * 0.7) / 1000
    assert only(outcomes(runs, curves, [0.9]))["auc"] == pytest.approx(expected)


def test_the_area_counts_chance_after_a_divergence(tables) -> None:
    curve = {0: 0.2, 400: 0.6}
    runs, curves = tables([{"curve": curve, "state": "diverged", "diverged_at": 500}])
    expected = (400 * 0.4 + 100 * 0.6 + 500 * CHANCE) / 1000
    assert only(outcomes(runs, curves, [0.9]))["auc"] == pytest.approx(expected)


def test_a_divergence_without_a_step_counts_from_the_last_evaluation(tables) -> None:
    curve = {0: 0.2, 400: 0.6}
    runs, curves = tables([{"curve": curve, "state": "diverged", "steps_done": 450}])
    run = only(outcomes(runs, curves, [0.9]))
    assert run["auc"] == pytest.approx((400 * 0.4 + 600 * CHANCE) / 1000)
    assert run["steps_spent"] == 450


def test_the_area_starts_at_chance_and_holds_the_last_evaluation(tables) -> None:
    runs, curves = tables([{"curve": {200: 0.5, 900: 0.7}}])
    expected = (200 * 0.3 + 700 * 0.6 + 100 * 0.7) / 1000
    assert only(outcomes(runs, curves, [0.9]))["auc"] == pytest.approx(expected)


def test_the_area_equals_numpys_for_many_shuffled_runs(tables) -> None:
    rng = np.random.default_rng(0)
    given = [
        {"curve": dict(zip(range(0, 1001, 50), rng.random(21), strict=True))} for _ in range(30)
    ]
    runs, curves = tables(given)
    frame = outcomes(runs, curves.sample(frac=1, random_state=1), [0.9])
    expected = [
        np.trapezoid(list(run["curve"].values()), list(run["curve"])) / 1000 for run in given
    ]
    assert frame["auc"].to_numpy() == pytest.approx(expected)
    first = [
        next((step for step, value in run["curve"].items() if value >= 0.9), np.inf)
        for run in given
    ]
    assert frame["steps_to_target"].tolist() == first


def test_evaluations_of_other_runs_after_the_budget_or_nan_do_not_count(tables) -> None:
    runs, curves = tables([{"run": "a", "curve": {0: 0.1, 500: np.nan, 1000: 0.3, 1100: 0.95}}])
    other = curves.assign(run="b", val_accuracy=0.99)
    run = only(outcomes(runs, pd.concat([curves, other]), [0.9]))
    assert run["censored"]
    assert run["auc"] == pytest.approx(0.2)


def test_several_targets_make_several_rows(tables, curve) -> None:
    runs, curves = tables([{"run": "a", "curve": {0: 0.1, 500: 0.9, 1000: 0.96}}])
    frame = outcomes(runs, curves, [0.9, 0.95, 0.99])
    assert frame["target"].tolist() == [0.9, 0.95, 0.99]
    assert frame["steps_to_target"].tolist() == [500, 1000, np.inf]


def test_without_a_target_the_rest_is_still_measured(tables, curve) -> None:
    runs, curves = tables([{"curve": curve(100)}])
    row = only(convergence_table(runs, curves, [], [], ["batch"]))
    assert np.isnan(row["target"])
    assert np.isnan(row["steps_to_target"])
    assert row["reached"] == 0
    assert row["auc_mean"] > 0.5


@pytest.mark.parametrize("target", [0.0, -1.0, 1.5, float("nan")])
def test_a_target_outside_its_range_is_refused(tables, target: float) -> None:
    with pytest.raises(ValueError, match="targets"):
        outcomes(*tables([{}]), [target])


def test_a_run_listed_twice_and_a_lacking_column_are_refused(tables) -> None:
    runs, curves = tables([{"run": "a"}, {"run": "a"}])
    with pytest.raises(ValueError, match="'a' is listed twice"):
        outcomes(runs, curves, [0.9])
    with pytest.raises(ValueError, match="lacks the columns steps_planned"):
        outcomes(runs.drop(columns="steps_planned"), curves, [0.9])


def test_columns_of_none_and_nullable_integers_count_as_missing_numbers(tables, curve) -> None:
    runs, curves = tables([{"curve": curve(300)}, {"run": "b", "seed": 1, "curve": curve(400)}])
    expected = outcomes(runs, curves, [0.9])
    none = pd.Series([None, None], dtype=object)
    runs = runs.assign(diverged_at=none, test_accuracy=none)
    runs["steps_done"] = runs["steps_done"].astype("Int64")
    curves["run"] = curves["run"].astype("category")
    measured = ["steps_to_target", "auc", "test_accuracy", "steps_spent"]
    pd.testing.assert_frame_equal(outcomes(runs, curves, [0.9])[measured], expected[measured])


def test_the_table_has_the_columns_of_the_contract_first(tables, curve) -> None:
    runs, curves = tables([{"curve": curve(300), "model.depth": 10}])
    table = convergence_table(runs, curves, [0.9], ["model.depth"], ["batch"])
    contract = [
        *("norm", "model.depth", "runs", "reached", "diverged", "failed", "steps_to_target"),
        *("seconds_to_target", "val_accuracy_mean", "val_accuracy_std", "test_accuracy_mean"),
        *("test_accuracy_std", "auc_mean", "train_seconds_per_step"),
    ]
    assert list(table.columns) == ["norm", "model.depth", *TABLE_COLUMNS]
    assert list(table.columns)[: len(contract)] == contract


def test_the_median_counts_a_miss_as_infinite(tables, curve) -> None:
    times = {"two of three": [300, 500, np.inf], "one of three": [300, np.inf, np.inf]}
    runs, curves = tables(
        [
            {"norm": norm, "seed": seed, "curve": curve(step)}
            for norm, steps in times.items()
            for seed, step in enumerate(steps)
        ]
    )
    table = convergence_table(runs, curves, [0.9], [], list(times)).set_index("norm")
    assert table["reached"].tolist() == [2, 1]
    assert table["steps_to_target"].tolist() == [500, np.inf]
    assert table["seconds_to_target"].tolist() == [5.0, np.inf]
    assert table["restricted_mean_steps"].tolist() == pytest.approx([600, 2300 / 3])
    assert table["expected_running_time"].tolist() == pytest.approx([1800 / 2, 2300 / 1])


def test_the_expected_running_time_is_infinite_without_success(tables, curve) -> None:
    runs, curves = tables([{"curve": curve(np.inf)}])
    assert np.isposinf(
        only(tabulate(outcomes(runs, curves, [0.9]), [], ["batch"]))["expected_running_time"]
    )


def test_every_run_stays_visible_in_the_counts(tables, curve) -> None:
    states = ["finished", "finished", "diverged", "failed", "interrupted", "missing", "running"]
    runs, curves = tables(
        [
            {"seed": i, "state": state, "curve": curve(300), "diverged_at": 50}
            for i, state in enumerate(states)
        ]
    )
    row = only(convergence_table(runs, curves, [0.9], [], ["batch"]))
    counts = ["runs", "reached", "finished", "diverged", "failed", "interrupted", "missing"]
    assert row[counts].tolist() == [7, 2, 2, 1, 1, 1, 2]
    assert row["val_accuracy_mean"] == pytest.approx((0.95 * 2 + CHANCE) / 3)


def test_a_norm_of_which_every_run_failed_keeps_its_row(tables) -> None:
    runs, curves = tables([{"state": "failed"}, {"state": "failed", "seed": 1}])
    row = only(convergence_table(runs, curves, [0.9], [], ["batch"]))
    assert (row["runs"], row["failed"], row["reached"]) == (2, 2, 0)
    assert row[["steps_to_target", "val_accuracy_mean", "expected_running_time"]].isna().all()


@pytest.mark.filterwarnings("error")
def test_who_diverges_before_the_first_step_takes_for_ever_and_warns_of_nothing(tables) -> None:
    runs, curves = tables([{"state": "diverged", "diverged_at": 0}])
    row = only(convergence_table(runs, curves, [0.9], [], ["batch"]))
    assert row["expected_running_time"] == np.inf


def test_the_spread_of_one_run_is_unknown_not_zero(tables, curve) -> None:
    row = only(convergence_table(*tables([{"curve": curve(300)}]), [0.9], [], ["batch"]))
    assert np.isnan(row["val_accuracy_std"])
    assert row["train_seconds_per_step"] == pytest.approx(0.01)


def test_norms_keep_the_order_given_and_sweep_points_are_sorted(tables, curve) -> None:
    runs, curves = tables(
        [
            {"norm": norm, "model.depth": depth, "data.batch_size": 8, "curve": curve(300)}
            for depth in (40, 5, 10)
            for norm in ("batch", "none")
        ]
    )
    table = convergence_table(
        runs, curves, [0.9, 0.95], ["model.depth", "data.batch_size"], ["none", "batch"]
    )
    assert table["model.depth"].tolist() == [5] * 4 + [10] * 4 + [40] * 4
    assert table["norm"].tolist() == ["none", "none", "batch", "batch"] * 3
    assert table["target"].tolist() == [0.9, 0.95] * 6


def test_norms_that_are_not_asked_for_are_left_out(tables, curve) -> None:
    runs, curves = tables([{"norm": norm, "curve": curve(300)} for norm in ("batch", "layer")])
    table = convergence_table(runs, curves, [0.9], [], ["layer", "rms"])
    assert table["norm"].tolist() == ["layer"]


def test_a_table_of_no_runs_is_empty_with_its_columns(tables) -> None:
    runs, curves = tables([{"curve": {0: 0.1}}])
    table = convergence_table(runs.iloc[:0], curves, [0.9], [], ["batch"])
    assert len(table) == 0
    assert list(table.columns) == ["norm", *TABLE_COLUMNS]
