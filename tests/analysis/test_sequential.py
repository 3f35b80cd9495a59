"""Seeds in steps: the design, the replay, and the rates it promises."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from normbench.analysis.rule import VerdictRule
from normbench.analysis.sequential import (
    Looks,
    RacedRuns,
    Standing,
    fixed,
    race,
    replay,
    sequential,
)

RULE = VerdictRule()


def outcome(scores: dict[str, list[float]], state: str = "finished") -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"norm": norm, "seed": seed, "auc": value, "state": state}
            for norm, values in scores.items()
            for seed, value in enumerate(values)
        ]
    )


def test_the_looks_spend_no_more_than_alpha_and_the_first_can_tell_two_norms_apart() -> None:
    looks = sequential(8, 32, 4)
    assert looks.seeds == (8, 12, 16, 20, 24, 28, 32)
    assert math.fsum(looks.alpha) == pytest.approx(0.05)
    assert looks.alpha[0] >= 2 / 2**8
    assert sequential(8, 30, 4).seeds[-1] == 30
    assert sequential(8, 8, 4) == fixed(8)
    with pytest.raises(ValueError, match="cannot look"):
        sequential(8, 4, 1)
    with pytest.raises(ValueError, match="more seeds each"):
        Looks((8, 8), (0.01, 0.04))


def test_the_race_drops_a_clear_loser_and_asks_for_more_seeds_of_the_others() -> None:
    rng = np.random.default_rng(10)
    scores = {
        "a": list(rng.normal(0.8, 0.02, 8)),
        "b": list(rng.normal(0.8, 0.02, 8)),
        "c": list(rng.normal(0.3, 0.02, 8)),
    }
    state = race(outcome(scores), ["a", "b", "c"], RULE, sequential(8, 16, 4), range(16))
    assert state.look == 0
    assert state.racing == ("a", "b")
    assert state.need == {"a": 12, "b": 12, "c": 8}
    assert state.ended == ""


def test_before_the_first_look_is_complete_every_norm_needs_its_seeds() -> None:
    frame = outcome({"a": [0.8] * 8, "b": [0.7] * 7})
    state = race(frame, ["a", "b"], RULE, sequential(8, 16, 4), range(16))
    assert (state.look, state.ended) == (-1, "")
    assert state.need == {"a": 8, "b": 8}
    running = outcome({"a": [0.8] * 8}, state="running")
    both = pd.concat([running, outcome({"b": [0.7] * 8})])
    assert race(both, ["a", "b"], RULE, sequential(8, 16, 4), range(16)).look == -1


def test_a_failed_run_does_not_hold_up_the_race() -> None:
    rng = np.random.default_rng(1)
    frame = outcome({"a": list(rng.normal(0.8, 0.1, 8)), "b": list(rng.normal(0.8, 0.1, 8))})
    frame.loc[3, ["auc", "state"]] = [np.nan, "failed"]
    assert race(frame, ["a", "b"], RULE, sequential(8, 16, 4), range(16)).look == 0


def test_the_race_ends_with_one_left_with_all_similar_or_at_the_last_look() -> None:
    rng = np.random.default_rng(2)
    shared = rng.normal(0.8, 0.02, 12)
    looks = Looks((8, 12), (0.02, 0.03))
    apart = {"a": list(shared), "b": list(shared - 0.3 + rng.normal(0, 0.01, 12))}
    assert race(outcome(apart), ["a", "b"], RULE, looks, range(12)).ended == "one left"
    near = {"a": list(shared), "b": list(shared + rng.normal(0, 0.001, 12))}
    assert race(outcome(near), ["a", "b"], RULE, looks, range(12)).ended == "similar"
    unclear = {"a": list(rng.normal(0.8, 0.1, 12)), "b": list(rng.normal(0.8, 0.1, 12))}
    ended = race(outcome(unclear), ["a", "b"], RULE, looks, range(12))
    assert ended.ended == "at the last look"
    assert ended.need == {"a": 12, "b": 12}


def test_seeds_beyond_the_look_and_later_runs_of_a_loser_change_nothing() -> None:
    rng = np.random.default_rng(3)
    scores = {"a": list(rng.normal(0.8, 0.02, 8)), "b": list(rng.normal(0.3, 0.02, 8))}
    looks = sequential(8, 16, 4)
    before = race(outcome(scores), ["a", "b"], RULE, looks, range(16))
    scores["b"] += [0.99] * 8
    assert race(outcome(scores), ["a", "b"], RULE, looks, range(16)) == before


def test_the_looks_follow_the_order_of_the_seeds() -> None:
    frame = outcome({"a": [0.8] * 4, "b": [0.7] * 4})
    frame["seed"] = frame["seed"].map({0: 30, 1: 10, 2: 40, 3: 20})
    looks = Looks((2, 4), (0.02, 0.03))
    first = frame[frame["seed"].isin([30, 10])]
    assert race(first, ["a", "b"], RULE, looks, [30, 10, 40, 20]).look == 0
    assert race(first, ["a", "b"], RULE, looks, [10, 20, 30, 40]).look == -1


def simulate(means: list[float], experiments: int, looks: Looks, margin: float) -> dict[str, float]:
    """Rates over experiments of independent normal scores with standard deviation 1.

    best out: a norm with the largest mean was eliminated at any look; similar: a pair that differs
    by the margin or more was called so at the end; seeds: runs, over those of the fixed design.
    """
    truth = np.array(means)
    rng = np.random.default_rng([len(means), experiments])
    shape = (looks.seeds[-1], len(means))
    every, none = np.ones(shape, dtype=bool), np.zeros(shape, dtype=bool)
    rule = VerdictRule("auc", margin)
    out = similar = runs = 0
    for _ in range(experiments):
        raced = RacedRuns(rng.normal(truth, 1, shape), every, none)
        standing: Standing = replay(raced, rule, looks)
        out += any(truth[norm] == truth.max() for norm in standing.decided)
        leader = standing.order[0]
        similar += any(
            gap.within(margin) and abs(truth[norm] - truth[leader]) >= margin
            for norm, gap in standing.gaps.items()
        )
        at = [standing.decided.get(norm, standing.look) for norm in range(len(means))]
        runs += sum(looks.seeds[look] for look in at)
    share = runs / (experiments * len(means) * looks.seeds[-1])
    return {"best out": out / experiments, "similar": similar / experiments, "seeds": share}


def test_the_best_norm_is_eliminated_at_any_look_in_at_most_five_percent() -> None:
    # Three standard errors of 5 % over 100 experiments are 6.5 points.
    rates = simulate([0.0, 0.0, 0.0, 0.0], 100, sequential(6, 14, 4), 1e-9)
    assert rates["best out"] <= 0.05 + 0.065


def test_clear_differences_take_a_fraction_of_the_fixed_seeds() -> None:
    rates = simulate([0.0, -2.0, -5.0, -4.0, -6.0], 20, sequential(8, 32, 4), 1e-9)
    assert rates["seeds"] < 0.5


@pytest.mark.slow
@pytest.mark.parametrize("means", [[0.0] * 4, [0.5, 0.0, 0.0, 0.0]])
def test_over_two_thousand_experiments_the_best_norm_stays(means: list[float]) -> None:
    rates = simulate(means, 2000, sequential(8, 32, 4), 1e-9)
    print("\n", means, rates)
    assert rates["best out"] <= 0.05 + 0.015  # three standard errors


@pytest.mark.slow
@pytest.mark.parametrize("means", [[1.0, 0.0], [1.0, 0.0, 0.0, 0.0]])
def test_over_two_thousand_experiments_similar_is_not_said_of_norms_a_margin_apart(
    means: list[float],
) -> None:
    rates = simulate(means, 2000, sequential(8, 32, 4), 1.0)
    print("\n", means, rates)
    assert rates["similar"] <= 0.05
