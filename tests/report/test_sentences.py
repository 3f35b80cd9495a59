"""What the rows of one sweep point are told as, word for word, from made-up rows."""

from __future__ import annotations

import math

import pytest

from normbench.analysis.rule import VerdictRule
from normbench.report import sentences

AUC = VerdictRule()
STEPS = VerdictRule("steps_to_target", 0.1)
ACCURACY = VerdictRule("test_accuracy", 0.01)
KERNEL = "eager kernels, cpu, fp32, 1 thread"
NAN = math.nan


def row(norm: str, verdict: str, value: float, **more) -> dict:
    known = {
        "norm": norm,
        "verdict": verdict,
        "value": value,
        "rank": 0 if verdict == "leader" else 1,
        "in_set": verdict != "worse",
        "seeds": 8,
        "difference": 0.0 if verdict == "leader" else NAN,
        "ci_low": NAN,
        "ci_high": NAN,
        "interval": "",
        "more_seeds": NAN,
        "target": 0.9,
        "budget_steps": 500.0,
        "train_seconds_per_step": 1e-3,
    }
    return known | more


def worse(norm: str, by: float, low: float, high: float, **more) -> dict:
    sure = {"ci_low": low, "ci_high": high, "interval": "simultaneous"}
    return row(norm, "worse", 0.9 + by, difference=by, **(sure | more))


BATCH = row("batch", "leader", 0.923)
LAYER = worse("layer", -0.031, -0.042, -0.02)
NONE = worse("none", -0.5, -0.55, -0.45)


def test_a_leader_alone_is_what_to_use_with_its_lead_over_the_next():
    found = sentences.which([BATCH, LAYER, NONE], AUC, KERNEL)
    assert found == [
        "Use batch: AUC 0.923, 0.031 above layer, the next (95 % interval 0.020 to 0.042), at 8 "
        "seeds.",
        "Also worse than batch: “none” by 0.500 (0.450 to 0.550).",
    ]


def test_the_next_is_the_nearest_whatever_the_order_of_elimination():
    first = sentences.which([BATCH, NONE, LAYER], AUC, KERNEL)[0]
    assert "above layer, the next" in first


def test_an_interval_that_is_not_simultaneous_or_not_there_says_so():
    lead = "Use batch: AUC 0.923, 0.031 above layer, the next "
    plain = worse("layer", -0.031, -0.042, -0.02, interval="unadjusted")
    lacking = worse("layer", -0.031, NAN, NAN, interval="needs 7 pairs")
    told = [sentences.which([BATCH, other], AUC, KERNEL)[0] for other in (plain, lacking)]
    assert told == [
        f"{lead}(95 % unadjusted interval 0.020 to 0.042), at 8 seeds.",
        f"{lead}(no interval: needs 7 pairs), at 8 seeds.",
    ]


def test_steps_are_told_as_steps_before_and_accuracies_in_percentage_points():
    fast = row("batch", "leader", 120.0)
    slow = worse("layer", 40.0, 20.0, 60.0)
    assert sentences.which([fast, slow], STEPS, KERNEL) == [
        "Use batch: 90.0 % validation accuracy in a median of 120 steps, 40 steps before layer, "
        "the next (95 % interval 20 to 60), at 8 seeds."
    ]
    good = sentences.which([row("batch", "leader", 0.951), LAYER], ACCURACY, KERNEL)[0]
    assert good.startswith("Use batch: test accuracy 95.1 %, 3.1 pp above layer, the next (95 % ")
    assert "interval 2.0 to 4.2 pp" in good


def test_of_similar_norms_the_cheapest_is_named_with_its_kernel():
    rows = [
        row("batch", "leader", 0.923, train_seconds_per_step=2e-3),
        row("layer", "similar", 0.922, train_seconds_per_step=1.5e-3),
        row("rms", "similar", 0.921, train_seconds_per_step=1e-3),
    ]
    assert sentences.which(rows, AUC, KERNEL) == [
        "Use rms: batch, layer and rms are similar in AUC (0.923, 0.922, 0.921; all within 0.01 of "
        "the leader, at 8 seeds), and it is the cheapest: 1 ms a step against 2 ms under batch and "
        f"1.5 ms under layer ({KERNEL})."
    ]


def test_a_norm_that_was_eliminated_for_too_little_to_matter_may_be_the_one_to_use():
    rows = [
        row("batch", "leader", 0.923, train_seconds_per_step=2e-3),
        row("rms", "similar", 0.921, in_set=False, train_seconds_per_step=1e-3),
    ]
    assert sentences.which(rows, AUC, KERNEL)[0].startswith("Use rms: batch and rms are similar")


def test_where_no_similar_norm_is_cheaper_by_more_than_noise_the_leader_is_named():
    rows = [
        row("batch", "leader", 0.923, train_seconds_per_step=1.02e-3),
        row("rms", "similar", 0.921, train_seconds_per_step=1e-3),
    ]
    (told,) = sentences.which(rows, AUC, KERNEL)
    assert told.startswith("Use batch: batch and rms are similar")
    assert "none is cheaper by more than 5 %" in told


def test_what_was_not_timed_is_never_called_cheap():
    rows = [BATCH, row("rms", "similar", 0.921, train_seconds_per_step=NAN)]
    (told,) = sentences.which(rows, AUC, KERNEL)
    assert told.startswith("Use batch: ")
    assert "cheap" not in told


def test_norms_that_are_not_told_apart_may_each_be_best_and_what_would_tell_is_said():
    rows = [
        BATCH,
        row("layer", "undecided", 0.915, difference=-0.008, more_seeds=12.0),
        row("rms", "undecided", 0.914, difference=-0.009, more_seeds=4000.0),
        row("group", "similar", 0.922),
        NONE,
    ]
    assert sentences.which(rows, AUC, KERNEL) == [
        "batch, layer, rms and group may each be the best: 8 seeds do not tell them apart in AUC "
        "(0.923, 0.915, 0.914, 0.922); group is similar to batch.",
        "Worse than batch: “none” by 0.500 (0.450 to 0.550).",
    ]
    assert sentences.separate(rows, AUC) == [
        "Open: more seeds that would tell them from batch, if the differences are as measured: "
        "layer about 12, rms more than 1,000."
    ]


def test_where_no_number_of_seeds_is_known_the_interval_says_what_is_still_possible():
    rows = [BATCH, row("layer", "undecided", 0.922, ci_low=-0.027, ci_high=0.021)]
    assert sentences.separate(rows, AUC) == ["Open: layer may differ from batch by up to 0.027."]


def test_the_seeds_are_those_of_the_norms_that_are_told():
    rows = [
        BATCH | {"seeds": 32},
        row("layer", "undecided", 0.922, seeds=32),
        NONE | {"seeds": 8},
    ]
    assert "32 seeds do not tell them apart" in sentences.which(rows, AUC, KERNEL)[0]


def test_what_more_seeds_would_not_settle_is_told_with_its_reason():
    rows = [BATCH, row("layer", "undecided (6 of 8 pairs tie)", 0.923)]
    assert sentences.separate(rows, AUC) == ["Open: 6 of 8 pairs tie."]
    assert sentences.separate([BATCH, LAYER], AUC) == []


def test_too_few_seeds_name_a_leader_and_nothing_to_use():
    rows = [
        row("batch", "leader", 0.9, seeds=3),
        row("layer", "too few seeds (needs 7)", 0.8, seeds=3),
    ]
    (told,) = sentences.which(rows, AUC, KERNEL)
    assert told == (
        "batch leads with AUC 0.900, but 3 seeds are too few to tell norms apart (needs 7): what "
        "the table shows may be chance."
    )


def test_one_norm_and_no_result_are_said():
    assert sentences.which([BATCH], AUC, KERNEL) == [
        "batch has AUC 0.923; with one norm nothing is compared."
    ]
    lost = row("layer", "too few seeds (needs 3)", NAN)
    assert sentences.which([BATCH, lost], AUC, KERNEL) == [
        "batch has AUC 0.923; no other norm has a result."
    ]
    assert sentences.which([lost], AUC, KERNEL) == ["No run has a result yet."]


def test_different_numbers_of_seeds_are_told_as_a_range():
    rows = [row("batch", "leader", 0.923, seeds=20), LAYER]
    assert "at 8 to 20 seeds" in sentences.which(rows, AUC, KERNEL)[0]


# --- the baseline ---


def held(norm: str, verdict: str, **more) -> dict:
    return {"norm": norm, "verdict": verdict, "pairs": 8, "detectable": NAN} | more


def test_against_the_baseline_words_are_grouped_and_undecided_says_what_would_have_been_found():
    rows = [
        held("batch", "better"),
        held("layer", "better"),
        held("rms", "undecided", detectable=0.02),
        held("group", "undecided (6 of 8 pairs tie)", detectable=0.03),
        held("instance", "too few seeds (needs 8)"),
        held("crashed", "too few seeds (needs 8)", pairs=0),
    ]
    assert sentences.against(rows, "none", AUC) == (
        "Against the baseline “none”: batch and layer are better; rms and group are undecided (6 "
        "of 8 pairs tie; 80 % power would have found 0.030 or more); instance is too few seeds "
        "(needs 8)."
    )


def test_all_better_is_said_in_short_and_nothing_is_repeated_of_too_few_seeds():
    rows = [held("batch", "better"), held("layer", "better")]
    told = sentences.against(rows, "none", AUC)
    assert told == "All others are better than the baseline “none”."
    assert sentences.against([held("batch", "too few seeds (needs 7)")], "none", AUC) == ""
    assert sentences.against([], "none", AUC) == ""


def test_a_baseline_that_nothing_beats_is_told():
    rows = [held("batch", "worse"), held("layer", "similar")]
    assert sentences.against(rows, "none", AUC) == (
        "Against the baseline “none”: batch is worse; layer is similar."
    )


@pytest.mark.parametrize(
    ("runtime", "text"),
    [
        ({"device": "cpu", "threads": 1, "compile": False}, KERNEL),
        (
            {"device": "cuda", "threads": 2, "compile": True},
            "compiled kernels, cuda, fp32, 2 threads",
        ),
    ],
)
def test_the_kernel_is_named(runtime, text):
    assert sentences.kernel_text(runtime, "fp32") == text
