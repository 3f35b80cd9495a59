"""Where a sweep turns, from made-up rows."""

from __future__ import annotations

import math

import pandas as pd

from normbench.analysis.rule import VerdictRule
from normbench.report import turns

AUC = VerdictRule()
KEY = "data.batch_size"
WORDS = {
    "v": "worse",
    "=": "similar",
    "?": "undecided",
    "*": "leader",
    ".": "too few seeds (needs 10)",
}


def sweep(values: list, **norms: list[tuple[str, float]]) -> pd.DataFrame:
    """norm -> for each value of the key a mark and the judged metric."""
    return pd.DataFrame(
        [
            {
                "norm": norm,
                KEY: value,
                "verdict": WORDS[sign],
                "rank": 0 if sign == "*" else 1,
                "in_set": sign != "v",
                "value": judged,
                "seeds": 8,
                "budget_steps": 500.0,
                "train_seconds_per_step": 1e-3 * value if isinstance(value, int) else 1e-3,
            }
            for place, value in enumerate(values)
            for norm, cells in norms.items()
            for sign, judged in [cells[place]]
        ]
    )


ROWS = sweep(
    [2, 4, 16, 32],
    none=[("v", 0.1)] * 4,
    batch=[("v", 0.172), ("v", 0.845), ("?", 0.93), ("*", 0.95)],
    layer=[("*", 0.94), ("=", 0.94), ("*", 0.94), ("=", 0.94)],
    rms=[("=", 0.94), ("*", 0.94), ("?", 0.94), ("=", 0.94)],
)


def test_the_sentence_says_where_it_turns():
    assert turns.sweep(ROWS, [KEY], AUC) == [
        "Use layer or rms: they alone may be the best at all 4 values of data.batch_size (AUC, 8 "
        "seeds).",
        "batch loses below 16: 0.845 at 4, 0.172 at 2; layer holds; rms is nowhere shown to be "
        "worse; “none” loses at every value.",
    ]


def test_a_norm_may_lose_above_a_value_or_here_and_there():
    rows = sweep(
        [10, 20, 40],
        batch=[("*", 0.9)] * 3,
        layer=[("=", 0.9), ("=", 0.9), ("v", 0.5)],
        rms=[("v", 0.4), ("=", 0.9), ("v", 0.5)],
    )
    first, second = turns.sweep(rows, [KEY], AUC)
    assert first.startswith("Use batch: it is the only one that may be the best at all 3 values")
    assert (
        "layer loses above 20: 0.500 at 40; rms loses at 10 and 40: 0.400 at 10, 0.500 at 40"
        in second
    )


def test_words_have_no_order():
    rows = sweep(["relu", "tanh"], batch=[("*", 0.9)] * 2, layer=[("v", 0.5), ("=", 0.9)])
    assert "layer loses at relu: 0.500 at relu; batch holds" in turns.sweep(rows, [KEY], AUC)[1]


def test_no_norm_for_all_values_names_the_leaders():
    rows = sweep([2, 4], batch=[("*", 0.9), ("v", 0.5)], layer=[("v", 0.5), ("*", 0.9)])
    first = turns.sweep(rows, [KEY], AUC)[0]
    assert first.startswith("No norm may be the best at both values of data.batch_size")
    assert first.endswith("batch leads at 2; layer leads at 4.")


def test_where_nothing_is_decided_it_is_said_and_none_is_advised():
    rows = sweep([2, 4], batch=[("*", 0.9), ("?", 0.5)], layer=[("?", 0.5), ("*", 0.9)])
    assert turns.sweep(rows, [KEY], AUC) == [
        "batch and layer may each be the best at both values of data.batch_size (AUC, 8 seeds): "
        "the seeds do not tell them apart."
    ]


def test_too_few_seeds_in_a_sweep_conclude_nothing():
    rows = sweep([2, 4], batch=[("*", 0.9), (".", 0.5)], layer=[(".", 0.5), ("*", 0.9)])
    assert turns.sweep(rows, [KEY], AUC) == [
        "batch leads at 2; layer leads at 4 in AUC, but 8 seeds a point are too few to tell norms "
        "apart (needs 10): what the table shows may be chance."
    ]


def test_silence_does_not_hold():
    rows = sweep(
        [2, 4], batch=[("*", 0.9)] * 2, layer=[("?", 0.8)] * 2, rms=[("v", 0.1), ("=", 0.9)]
    )
    second = turns.sweep(rows, [KEY], AUC)[1]
    assert "batch holds; layer is nowhere shown to be worse" in second


def test_with_two_keys_each_combination_of_the_shorter_one_is_told():
    parts = [ROWS.assign(**{"optimizer.lr": lr}) for lr in (0.1, 0.2)]
    found = turns.sweep(pd.concat(parts, ignore_index=True), [KEY, "optimizer.lr"], AUC)
    assert [text.split(":")[0] for text in found if text.startswith("At lr")] == [
        "At lr 0.1",
        "At lr 0.2",
    ]


def test_the_second_question_is_answered_by_the_values_at_which_each_norm_helps():
    def held(norm: str, verdict: str, at: int, **more) -> dict:
        return {
            "norm": norm,
            KEY: at,
            "verdict": verdict,
            "pairs": 8,
            "detectable": math.nan,
        } | more

    rows = [
        held("batch", "better", 16),
        held("batch", "worse", 2),
        held("layer", "better", 2),
        held("layer", "better", 16),
        held("rms", "undecided", 2, detectable=0.02),
        held("rms", "better", 16),
    ]
    assert turns.against(rows, "none", [KEY], "auc") == (
        "Against the baseline “none”: batch is better at 16, worse at 2; layer is better "
        "everywhere; rms is undecided at 2, better at 16 (undecided: 80 % power would have found "
        "0.020 or more)."
    )


def test_the_cost_is_that_of_the_norms_that_serve_everywhere():
    assert turns.cost(ROWS, "eager kernels") == (
        "A step takes 2 ms to 32 ms under layer and 2 ms to 32 ms under rms (eager kernels)."
    )
