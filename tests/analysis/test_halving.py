"""The search by halving, replayed from made-up tuning runs."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

from normbench.analysis.halving import (
    TUNE_SEEDS,
    Design,
    Rung,
    Search,
    design,
    rungs,
    runs_of_a_norm,
    searches,
)
from normbench.analysis.rule import VerdictRule
from normbench.analysis.sequential import RacedRuns, replay, sequential

GRID = (0.01, 0.03, 0.1, 0.3, 1.0)
SEEDS = (40, 41, 42, 43)


def outcome(
    best: dict[str, int], upto: int = len(SEEDS), *, noise: float = 0.0, seed: int = 0
) -> pd.DataFrame:
    """Runs of every value on the first seeds; a step on the grid away from the best costs 0.1."""
    rng = np.random.default_rng(seed)
    rows = []
    for (norm, place), (at, value), number in itertools.product(
        best.items(), enumerate(GRID), SEEDS[:upto]
    ):
        score = 0.8 - 0.1 * abs(at - place) + noise * rng.normal()
        row = {"norm": norm, "tuned": value, "seed": number, "state": "finished", "auc": score}
        rows.append({**row, "val_accuracy": score, "steps_to_target": np.inf, "num_classes": 10})
    return pd.DataFrame(rows)


def search(frame: pd.DataFrame, norms: list[str], keys: tuple[str, ...] = ()) -> dict:
    return searches(frame, norms, keys, grid=GRID, seeds=SEEDS, metric="auc", target=0.9)


def test_half_of_the_values_go_at_every_rung_until_two_are_left() -> None:
    assert rungs(7, 4) == (Rung(7, 2), Rung(4, 4))
    assert rungs(9, 4) == (Rung(9, 1), Rung(5, 2), Rung(3, 4))
    assert rungs(5, 4) == (Rung(5, 2), Rung(3, 4))
    assert rungs(3, 3) == (Rung(3, 3),)
    assert rungs(2, 3) == (Rung(2, 3),)
    for values, seeds in itertools.product(range(1, 20), range(1, 9)):
        steps = rungs(values, seeds)
        assert steps[0].values == values
        assert steps[-1].seeds == seeds
        assert all(b.values < a.values and b.seeds >= a.seeds for a, b in itertools.pairwise(steps))
        assert runs_of_a_norm(steps) <= values * seeds
    with pytest.raises(ValueError, match="needs a value"):
        rungs(0, 3)


def test_the_runs_of_a_norm_are_counted_once_a_value_and_seed() -> None:
    assert runs_of_a_norm(rungs(7, 4)) == 7 * 2 + 4 * 2
    assert runs_of_a_norm(rungs(9, 4)) == 9 + 5 + 3 * 2
    assert runs_of_a_norm(rungs(2, 3)) == 6


def test_before_the_first_rung_is_complete_every_value_is_in() -> None:
    found = search(outcome({"batch": 2}, upto=1), ["batch"])
    assert found == {("batch", ()): Search(GRID, 2, ended=False)}
    running = outcome({"batch": 2}, upto=2)
    running.loc[3, "state"] = "running"
    assert search(running, ["batch"]) == found


def test_each_norm_keeps_its_own_better_half_and_ends_with_two() -> None:
    best = {"batch": 3, "layer": 1}
    half = search(outcome(best, upto=2), list(best))
    assert half["batch", ()].values[0] == 0.3
    assert sorted(half["batch", ()].values) == [0.1, 0.3, 1.0]
    assert half["batch", ()] == Search(half["batch", ()].values, 4, ended=False)
    assert sorted(half["layer", ()].values) == [0.01, 0.03, 0.1]
    ended = search(outcome(best), list(best))
    # 0.1 and 1.0 do equally well: the smaller one stays.
    assert ended["batch", ()] == Search((0.3, 0.1), 4, ended=True)
    assert ended["layer", ()] == Search((0.03, 0.01), 4, ended=True)


def test_what_went_at_a_rung_stays_out_whatever_its_later_runs_say() -> None:
    frame = outcome({"batch": 3})
    late = frame["seed"].isin(SEEDS[2:]) & (frame["tuned"] == 0.01)
    frame.loc[late, "auc"] = 5.0
    assert search(frame, ["batch"])["batch", ()].values == (0.3, 0.1)


def test_failed_runs_hold_no_rung_up_and_a_value_without_any_outcome_goes_first() -> None:
    frame = outcome({"batch": 2})
    frame.loc[frame["tuned"] == 0.1, ["state", "auc", "val_accuracy"]] = ["failed", np.nan, np.nan]
    assert search(frame, ["batch"])["batch", ()] == Search((0.03, 0.3), 4, ended=True)
    frame[["state", "auc", "val_accuracy"]] = ["failed", np.nan, np.nan]
    assert search(frame, ["batch"])["batch", ()] == Search((), 2, ended=True)


def test_every_sweep_point_has_a_search_of_its_own() -> None:
    here, there = outcome({"batch": 1}), outcome({"batch": 3}, upto=2)
    frame = pd.concat([here.assign(depth=5), there.assign(depth=10)])
    found = search(frame, ["batch"], ("depth",))
    assert found["batch", (5,)].ended
    assert found["batch", (5,)].values[0] == 0.03
    assert not found["batch", (10,)].ended
    assert found["batch", (10,)].values[0] == 0.3


# -- what a budget affords ----------------------------------------------------------------------


def test_a_large_budget_affords_the_richest_search_and_the_longest_race() -> None:
    found = design(1000, 4)
    assert found == Design(7, 6, 8, 32)
    assert found.contenders == 2
    assert found.runs == (33 + 2 * 8, 33 + 2 * 32)


@pytest.mark.parametrize("grid", [None, 2, 6])
@pytest.mark.parametrize("norms", [2, 3, 5, 8])
def test_a_smaller_budget_never_affords_more_and_the_first_look_is_always_paid_for(norms, grid):
    before = None
    for runs in range(norms * 120, 0, -1):
        found = design(runs, norms, grid)
        if found is None:
            assert runs < 6 * norms
            continue
        assert found.runs[0] * norms <= runs
        assert found.start >= 6
        # A race has one look, or one more than the first that every contender can come to.
        second = (found.runs[0] + found.contenders * found.step) * norms
        assert found.to == found.start or second <= runs
        if before is not None:
            assert (found.values, found.tune_seeds) <= (before.values, before.tune_seeds)
        before = found
    assert before is not None


def test_where_nothing_is_left_for_a_search_all_norms_stand_at_the_rate_of_the_config() -> None:
    assert design(40, 4) == Design(0, 0, 10, 10)
    assert design(40, 3) == Design(0, 0, 8, 16)
    assert design(48, 2) == Design(3, 4, 6, 6)
    assert design(23, 4) is None


def test_a_grid_that_is_given_is_searched_whole_or_not_at_all() -> None:
    assert {design(runs, 3, 6).values for runs in range(18, 400)} == {0, 6}


# -- the error rate of the whole: search, then race ---------------------------------------------

PLANTED = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


def planted(
    apart: float, norms: int, experiments: int, to: int, *, others_flat: bool = False
) -> dict[str, float]:
    """Rates over experiments of norms that are equally good at their own best value.

    Neighbours on the grid lie ``apart`` standard deviations of a run. others_flat: only the first
    norm has anything to lose by a wrong choice. out: the first norm was eliminated; missed: its
    best value was not among the two that raced.
    """
    rng = np.random.default_rng([norms, experiments, int(100 * apart)])
    names = [f"norm{number}" for number in range(norms)]
    looks = sequential(8, to, 4)
    curve = -apart * np.abs(np.arange(len(PLANTED)) - 3.0)
    curves = np.array([curve] + [0 * curve if others_flat else curve] * (norms - 1))
    at = list(itertools.product(range(norms), range(7), range(TUNE_SEEDS)))
    frame = pd.DataFrame({"norm": [names[n] for n, _, _ in at], "seed": [100 + s for *_, s in at]})
    frame = frame.assign(tuned=[PLANTED[v] for _, v, _ in at], num_classes=10, state="finished")
    means = np.array([curves[n, v] for n, v, _ in at])
    out = missed = 0
    for _ in range(experiments):
        score = means + rng.normal(size=len(at))
        found = searches(
            frame.assign(auc=score, val_accuracy=score, steps_to_target=np.inf),
            names,
            (),
            grid=PLANTED,
            seeds=range(100, 100 + TUNE_SEEDS),
            metric="auc",
            target=0.9,
        )
        racing = [
            (number, PLANTED.index(value))
            for number, name in enumerate(names)
            for value in found[name, ()].values
        ]
        truth = np.array([curves[pair] for pair in racing])
        missed += truth[[number == 0 for number, _ in racing]].max() < 0
        shape = (to, len(racing))
        runs = RacedRuns(rng.normal(truth, 1, shape), np.ones(shape, bool), np.zeros(shape, bool))
        standing = replay(runs, VerdictRule("auc", 1e-9), looks)
        out += all(place in standing.decided for place, (norm, _) in enumerate(racing) if not norm)
    return {"out": out / experiments, "missed": missed / experiments}


def test_norms_that_are_equally_good_are_not_told_apart_by_the_search() -> None:
    # Three standard errors of 5 % over 40 experiments are 10 points.
    assert planted(0.9, 2, 40, 12)["out"] <= 0.05 + 0.10


# The case in which most are eliminated: one other norm, which has nothing to lose by its rate.
@pytest.mark.slow
def test_the_best_norm_is_eliminated_by_search_and_race_in_at_most_five_percent() -> None:
    rates = planted(0.6, 2, 400, 32, others_flat=True)
    print("\n", rates)
    assert rates["out"] <= 0.05 + 0.033  # three standard errors
