"""The norms that may be best."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest

from normbench.analysis.best_set import COLUMNS, best_set
from normbench.analysis.rule import VerdictRule
from normbench.analysis.sequential import Looks

RULE = VerdictRule()
STEPS = VerdictRule("steps_to_target", 0.10)


def outcome(scores: Mapping[str, Sequence[float]], metric: str = "auc") -> pd.DataFrame:
    """Outcomes of {norm: values by seed}; NaN is a run without an outcome."""
    rows = [
        {"norm": norm, "seed": seed, metric: value, "target": 0.9}
        for norm, values in scores.items()
        for seed, value in enumerate(values)
    ]
    return pd.DataFrame(rows)


def noisy(means: Mapping[str, float], seeds: int = 10, sd: float = 0.01) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    shared = rng.normal(0, 0.05, seeds)
    return outcome({norm: mean + shared + rng.normal(0, sd, seeds) for norm, mean in means.items()})


def test_the_columns_are_those_of_the_contract() -> None:
    frame = noisy({"a": 0.5, "b": 0.6}).assign(depth=3)
    table = best_set(frame, ["a", "b"], ["depth"], rule=RULE)
    assert list(table.columns) == ["norm", "depth", *COLUMNS[1:]]


def test_the_clear_losers_leave_the_set_and_the_words_agree_with_the_intervals() -> None:
    means = {"none": 0.2, "batch": 0.8, "layer": 0.8, "rms": 0.7}
    table = best_set(noisy(means), list(means), [], rule=RULE).set_index("norm")
    assert table.index[0] in ("batch", "layer")
    assert table.index.tolist()[2:] == ["rms", "none"]
    assert table["in_set"].to_dict() == {"batch": True, "layer": True, "rms": False, "none": False}
    assert table["verdict"].iloc[0] == "leader"
    assert table.loc[["rms", "none"], "verdict"].tolist() == ["worse", "worse"]
    assert (table.loc[["rms", "none"], "ci_high"] < 0).all()
    assert (table.loc[["rms", "none"], "p_value"] <= 0.05).all()
    second = table.iloc[1]
    assert second["ci_low"] < 0 < second["ci_high"]
    assert second["p_value"] > 0.05
    assert table.iloc[0][["rank", "difference", "p_value"]].tolist() == [0, 0, 1]


def test_what_left_the_set_stands_by_its_value_not_by_how_sure_its_leaving_was() -> None:
    rng = np.random.default_rng(0)
    sure, worse = 0.85 + rng.normal(0, 0.001, 10), 0.4 + rng.normal(0, 0.2, 10)
    frame = outcome({"lead": 0.9 + rng.normal(0, 0.001, 10), "worse": worse, "sure": sure})
    table = best_set(frame, ["lead", "worse", "sure"], [], rule=RULE)
    assert table["norm"].tolist() == ["lead", "sure", "worse"]
    assert table["rank"].tolist() == [0, 1, 2]
    assert table["verdict"].tolist() == ["leader", "worse", "worse"]
    assert table["p_value"].iloc[1] < table["p_value"].iloc[2]


def test_norms_within_the_margin_are_similar() -> None:
    means = {"a": 0.8, "b": 0.8, "c": 0.3}
    table = best_set(noisy(means, seeds=12, sd=0.002), list(means), [], rule=RULE)
    assert table["verdict"].tolist() == ["leader", "similar", "worse"]


def test_what_cannot_be_told_yet_says_how_many_more_seeds_would() -> None:
    means = {"a": 0.800, "b": 0.795}
    table = best_set(noisy(means, seeds=10, sd=0.02), list(means), [], rule=RULE)
    assert table["verdict"].tolist() == ["leader", "undecided"]
    assert table["more_seeds"].iloc[1] >= 1
    assert np.isnan(table["more_seeds"].iloc[0])


def test_two_norms_at_five_seeds_are_too_few_and_at_six_they_are_told_apart() -> None:
    for seeds, verdict in ((5, "too few seeds (needs 6)"), (6, "worse")):
        scores = {"a": np.linspace(0.8, 0.9, seeds), "b": np.linspace(0.5, 0.7, seeds)}
        table = best_set(outcome(scores), ["a", "b"], [], rule=RULE)
        assert table["verdict"].tolist() == ["leader", verdict]


def test_identical_norms_stay_and_a_constant_difference_goes_without_an_interval() -> None:
    shared = np.random.default_rng(1).normal(0.8, 0.05, 8)
    table = best_set(outcome({"a": shared, "b": shared}), ["a", "b"], [], rule=RULE)
    assert table["verdict"].tolist() == ["leader", "undecided (8 of 8 pairs tie)"]
    assert table["interval"].iloc[1] == "no pair differs"
    table = best_set(outcome({"a": shared, "b": shared - 0.1}), ["a", "b"], [], rule=RULE)
    assert table["verdict"].tolist() == ["leader", "worse"]
    assert table["interval"].iloc[1] == "all pairs differ by the same amount"
    assert np.isnan(table["ci_low"].iloc[1])


def test_a_missing_seed_is_left_out_for_the_norms_still_in_and_a_lost_norm_is_told() -> None:
    means = {"a": 0.8, "b": 0.5, "c": 0.8}
    frame = noisy(means, seeds=10)
    frame.loc[(frame["norm"] == "b") & (frame["seed"] < 3), "auc"] = np.nan
    frame = pd.concat([frame, outcome({"lost": [np.nan] * 10})])
    table = best_set(frame, [*means, "lost"], [], rule=RULE).set_index("norm")
    assert table["seeds"].to_dict() == {"a": 10, "c": 10, "b": 7, "lost": 0}
    assert table.loc["b", "verdict"] == "worse"
    assert table.index[-1] == "lost"
    assert table.loc["lost", "verdict"].startswith("too few seeds")
    assert np.isnan(table.loc["lost", "value"])


def test_in_steps_a_miss_is_the_worst_and_the_leader_needs_the_fewest() -> None:
    rng = np.random.default_rng(2)
    steps = {
        "fast": 300 + 10 * rng.normal(0, 1, 12),
        "slow": 600 + 10 * rng.normal(0, 1, 12),
        "never": [np.inf] * 12,
    }
    table = best_set(outcome(steps, "steps_to_target"), list(steps), [], rule=STEPS)
    assert table["norm"].tolist() == ["fast", "slow", "never"]
    assert table["verdict"].tolist() == ["leader", "worse", "worse"]
    assert table["value"].iloc[0] == pytest.approx(300, abs=10)
    assert table["difference"].iloc[1] == pytest.approx(300, abs=10)
    assert table["ci_low"].iloc[1] > 0
    assert np.isposinf(table["difference"].iloc[2])


def test_a_sweep_shares_its_alpha_over_the_points() -> None:
    # Two norms, eight seeds, one sign: p is 2/2^8, below 0.05 but not below 0.05 / 8.
    scores = {"a": np.linspace(0.8, 0.9, 8), "b": np.linspace(0.5, 0.7, 8)}
    chart_data = [outcome(scores).assign(depth=depth) for depth in range(8)]
    for count, verdict in ((6, "worse"), (8, "too few seeds (needs 9)")):
        table = best_set(pd.concat(chart_data[:count]), ["a", "b"], ["depth"], rule=RULE)
        assert (table[table["rank"] == 1]["verdict"] == verdict).all()


def test_the_points_of_two_keys_are_those_of_the_other_tables() -> None:
    scores = {"a": np.linspace(0.8, 0.9, 8), "b": np.linspace(0.5, 0.7, 8)}
    frame = pd.concat([outcome(scores).assign(depth=depth, lr=0.1) for depth in (2, 4)])
    table = best_set(frame, ["a", "b"], ["lr", "depth"], rule=RULE)
    assert table["depth"].dtype == frame["depth"].dtype
    assert table["depth"].tolist() == [2, 2, 4, 4]


def test_with_looks_every_norm_keeps_the_seeds_at_which_it_was_decided() -> None:
    means = {"a": 0.800, "b": 0.799, "c": 0.3}
    looks = Looks((8, 12, 16), (0.01, 0.02, 0.02))
    frame = noisy(means, seeds=16, sd=0.01)
    frame = frame[(frame["norm"] != "c") | (frame["seed"] < 8)]
    table = best_set(frame, list(means), [], rule=RULE, looks=looks, order=range(16))
    table = table.set_index("norm")
    assert table.loc["c", ["look", "seeds", "in_set"]].tolist() == [8, 8, False]
    assert table.loc["c", "verdict"] == "worse"
    assert (table.loc[["a", "b"], "look"] > 8).all()


def test_a_run_that_did_not_learn_leaves_no_interval() -> None:
    frame = noisy({"a": 0.8, "b": 0.6}, seeds=8).assign(
        state="finished", num_classes=10, val_accuracy=0.8
    )
    frame.loc[(frame["norm"] == "b") & (frame["seed"] == 3), ["auc", "val_accuracy"]] = 0.1
    table = best_set(frame, ["a", "b"], [], rule=RULE)
    assert table["interval"].iloc[1] == "1 of 8 pairs hold a run that failed to learn"
