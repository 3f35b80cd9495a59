"""What the verdict words say, and of what they are silent: misses, ties, few seeds, margins."""

from __future__ import annotations

import numpy as np
import pytest
from paired_outcomes import by_steps, outcome_table, row

from normbench.analysis.comparison import compare
from normbench.analysis.rule import VerdictRule


def test_one_missed_seed_does_not_turn_eleven_faster_ones_into_slower() -> None:
    steps = {
        "none": [500.0 + i for i in range(12)],
        "batch": [490.0 + i + 0.1 * i for i in range(11)] + [np.inf],
    }
    result = row(by_steps(outcome_table(steps), ["none", "batch"], "none"))
    assert -10 < result["difference"] < -9
    assert result["ci_high"] < 0
    # Certain, and faster by 2 % only: similar, where the mean of capped steps said "+25, better".
    assert result["p_adjusted"] <= 0.05
    assert result["verdict"] == "similar"
    narrow = compare(
        outcome_table(steps),
        ["none", "batch"],
        "none",
        [],
        rule=VerdictRule("steps_to_target", 0.001),
    )
    assert row(narrow)["verdict"] == "better"


def test_a_miss_is_a_larger_difference_than_any_that_was_measured() -> None:
    # Seeds 0 to 6: batch is a little slower. Seed 7: only none misses. Rank 8 against 1 to 7:
    # the sum of ranks is 28 - 8 = 20; a mean of infinities would decide it all.
    steps = {"none": [100.0] * 7 + [np.inf], "batch": [110.0 + i for i in range(7)] + [900.0]}
    result = row(by_steps(outcome_table(steps), ["none", "batch"], "none"))
    signs = np.array(np.meshgrid(*[[-1, 1]] * 8)).reshape(8, -1)
    expected = np.mean(np.abs(np.arange(1, 9) @ signs) >= 20)
    assert result["p_value"] == pytest.approx(expected)
    assert 10 < result["difference"] < 16
    assert np.isneginf(result["ci_low"])
    assert result["p_better"] == 1 / 8


def test_where_neither_reached_the_words_say_so_and_do_not_ask_for_seeds() -> None:
    steps = {"none": [np.inf] * 4 + [500.0] * 4, "batch": [np.inf] * 4 + [300.0] * 4}
    result = row(by_steps(outcome_table(steps), ["none", "batch"], "none"))
    assert (result["pairs"], result["informative"]) == (8, 4)
    assert result["p_value"] == 2 / 2**4
    assert result["p_better"] == 0.75
    assert result["verdict"] == "undecided (neither reached the target in 4 of 8 pairs)"
    never = {norm: [np.inf] * 4 for norm in steps}
    result = row(by_steps(outcome_table(never), ["none", "batch"], "none"))
    assert result["verdict"] == "undecided (neither reached the target in 4 of 4 pairs)"


def test_ties_that_leave_too_few_pairs_are_named() -> None:
    scores = {"a": [0.5] * 8, "b": [0.6, 0.6, 0.6, 0.5, 0.5, 0.5, 0.5, 0.5]}
    steps = {norm: [500.0] * 8 for norm in scores}
    result = row(compare(outcome_table(steps, scores), ["a", "b"], "a", []), "auc")
    assert result["informative"] == 3
    assert result["verdict"] == "undecided (5 of 8 pairs tie)"
    assert result["interval"] == "5 of 8 pairs tie"
    assert np.isnan(result["ci_low"])


def test_a_norm_that_trains_where_the_baseline_always_misses_is_better() -> None:
    steps = {"none": [np.inf] * 6, "batch": [100.0 * i for i in range(1, 7)]}
    result = row(by_steps(outcome_table(steps), ["none", "batch"], "none"))
    assert result["p_value"] == 2 / 2**6
    assert np.isneginf(result["difference"])
    assert result["verdict"] == "better"


def test_five_seeds_are_too_few_and_the_verdict_says_how_many_are_needed() -> None:
    steps = {"none": [500.0] * 5, "batch": [100.0] * 5}
    result = row(by_steps(outcome_table(steps), ["none", "batch"], "none"))
    assert result["p_value"] == 0.0625
    assert result["verdict"] == "too few seeds (needs 6)"
    assert result["interval"] == "needs 6 pairs"


def test_six_seeds_are_too_few_for_six_comparisons_and_eight_are_enough() -> None:
    for seeds, verdict in ((6, "too few seeds (needs 8)"), (8, "better")):
        steps = {"none": [500.0] * seeds} | {f"n{i}": [100.0] * seeds for i in range(6)}
        table = by_steps(outcome_table(steps), list(steps), "none")
        assert (table[table["metric"] == "steps_to_target"]["verdict"] == verdict).all()


def test_no_interval_has_a_width_of_zero() -> None:
    steps = {"none": [500.0, np.inf] * 4, "same": [500.0, np.inf] * 4}
    result = row(by_steps(outcome_table(steps), ["none", "same"], "none"))
    assert result[["difference", "p_value", "p_adjusted", "p_better"]].tolist() == [0, 1, 1, 0.5]
    assert result["interval"] == "no pair differs"
    constant = outcome_table({"a": [500.0] * 8, "b": [400.0] * 8}, {"a": [0.5] * 8, "b": [0.6] * 8})
    for metric in ("auc", "steps_to_target"):
        result = row(compare(constant, ["a", "b"], "a", []), metric)
        assert result["interval"] == "all pairs differ by the same amount"
        assert np.isnan(result["ci_low"])


def test_a_norm_inside_the_margin_is_similar_even_where_the_difference_is_certain() -> None:
    rng = np.random.default_rng(1)
    shared = rng.normal(0.8, 0.05, 12)
    scores = {"a": list(shared), "b": list(shared + 0.002 + rng.normal(0, 0.001, 12))}
    steps = {norm: [500.0] * 12 for norm in scores}
    result = row(compare(outcome_table(steps, scores), ["a", "b"], "a", []), "auc")
    assert result["p_adjusted"] < 0.05
    assert result["verdict"] == "similar"
    assert -0.01 <= result["ci_low"] <= result["ci_high"] <= 0.01
    narrow = VerdictRule("auc", 0.001)
    result = row(compare(outcome_table(steps, scores), ["a", "b"], "a", [], rule=narrow), "auc")
    assert result["verdict"] == "better"


def test_an_undecided_comparison_tells_what_it_would_have_found() -> None:
    rng = np.random.default_rng(2)
    scores = {norm: list(rng.normal(0.7, 0.1, 8)) for norm in ("a", "b")}
    steps = {norm: [500.0] * 8 for norm in scores}
    result = row(compare(outcome_table(steps, scores), ["a", "b"], "a", []), "auc")
    assert result["verdict"] == "undecided"
    sd = np.std(np.subtract(scores["b"], scores["a"]), ddof=1)
    assert sd < result["detectable"] < 1.4 * sd


def test_a_run_that_did_not_learn_leaves_no_interval_of_a_mean() -> None:
    rng = np.random.default_rng(3)
    scores = {"a": list(rng.normal(0.7, 0.01, 8)), "b": [*rng.normal(0.9, 0.01, 7), 0.1]}
    steps = {norm: [500.0] * 8 for norm in scores}
    outcome = outcome_table(steps, scores).assign(state="finished", num_classes=10)
    result = row(compare(outcome, ["a", "b"], "a", []), "auc")
    assert result["interval"] == "1 of 8 pairs hold a run that failed to learn"
    assert np.isnan(result["ci_low"])
    # Where it fails at every seed the pairs end alike, and the interval stands.
    scores["b"] = list(0.1 + rng.uniform(0, 0.01, 8))
    outcome = outcome_table(steps, scores).assign(state="diverged", num_classes=10)
    assert row(compare(outcome, ["a", "b"], "a", []), "auc")["interval"] == "simultaneous"
