"""The rules behind the verdicts, on made-up evidence for every outcome."""

from __future__ import annotations

import math

import pytest

from normbench.claims import CLAIMS, Verdict, ordered
from normbench.claims.layer_in_depth import parts_of as depth_parts
from normbench.claims.rules import (
    Duel,
    Moments,
    Timing,
    batch_sizes,
    best_part,
    choice,
    combine,
    computation,
    favourites,
    independent,
    invariant,
    moments,
    more,
    reversals,
    settled,
    smallest_size,
    trains,
    varies,
)
from normbench.claims.training_effect import effect_parts

SUPPORTED, REFUTED, DEPENDS, OPEN = Verdict
BETTER, WORSE, SAME = "better", "worse", "no evidence of a difference"
FEW = "too few seeds (needs at least 8)"


def test_there_are_eleven_statements_in_order():
    assert [claim.number for _, claim in ordered()] == list(range(1, 12))
    assert len(set(CLAIMS.names())) == 11


def test_only_the_statements_asked_for_are_examined():
    assert [claim.number for _, claim in ordered([8, 2])] == [2, 8]


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([True, True], SUPPORTED),
        ([False, False], REFUTED),
        ([True, False], DEPENDS),
        ([True, False, None], DEPENDS),
        ([True, None], OPEN),
        ([False, None], OPEN),
        ([None], OPEN),
        ([], OPEN),
    ],
)
def test_parts_combine_to_a_verdict(parts: list[bool | None], verdict: Verdict):
    assert combine({str(place): part for place, part in enumerate(parts)}) is verdict


def test_a_situation_without_a_difference_is_left_out_where_others_decide():
    assert combine(settled([True, None])) is SUPPORTED
    assert combine(settled([True, False, None])) is DEPENDS
    assert combine(settled([None, None])) is OPEN


def test_too_few_seeds_say_nothing():
    assert best_part([FEW, SAME]) is None
    assert best_part([FEW, BETTER, WORSE]) is True
    assert best_part([SAME, WORSE]) is False


def test_no_rate_that_trains_is_less_than_any():
    assert more(0.1, math.nan) is True
    assert more(math.nan, 0.1) is False
    assert more(math.nan, math.nan) is None


def test_standard_deviations_vary_from_a_factor_of_two_on():
    assert varies([1.0, 0.5]) is True
    assert varies([1.0, 0.6]) is False
    assert varies([1.0, 0.0]) is True
    assert varies([]) is None
    assert varies([math.nan, 1.0]) is None


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        (Moments(1e-7, 1e-4, 1e-7), SUPPORTED),
        (Moments(1e-7, 0.5, 1e-7), DEPENDS),
        (Moments(0.1, 1e-4, 1e-7), REFUTED),
        (Moments(1e-7, 0.5, 0.5), REFUTED),
        (Moments(math.nan, 0.0, 0.0), OPEN),
    ],
)
def test_moments(found: Moments, verdict: Verdict):
    assert moments(found) is verdict


def effect(shared: str, best: str, rate: float = 0.5, none: float = 0.1) -> Verdict:
    found = {"runs": 8, "reached": 8, "reached_none": 8}
    found |= {"largest_rate": rate, "largest_rate_none": none}
    words = {"shared": {"verdict": shared}, "best": {"verdict": best}}
    return combine(effect_parts({**found, **words}))


@pytest.mark.parametrize(
    ("verdict", "shared", "best", "rates"),
    [
        (SUPPORTED, BETTER, BETTER, (0.5, 0.1)),
        (SUPPORTED, BETTER, BETTER, (0.5, math.nan)),
        (REFUTED, WORSE, WORSE, (0.1, 0.5)),
        (DEPENDS, BETTER, WORSE, (0.5, 0.1)),
        (DEPENDS, BETTER, BETTER, (0.1, 0.5)),
        (OPEN, FEW, FEW, (0.5, 0.1)),
        (OPEN, SAME, BETTER, (0.5, 0.1)),
    ],
)
def test_what_a_norm_does_for_training(
    verdict: Verdict, shared: str, best: str, rates: tuple[float, float]
):
    assert effect(shared, best, *rates) is verdict


def test_at_equal_rates_the_runs_that_reached_the_target_decide():
    words = {"shared": {"verdict": BETTER}, "best": {"verdict": BETTER}}
    found = {"runs": 8, "largest_rate": 0.1, "largest_rate_none": 0.1, **words}
    assert effect_parts({**found, "reached": 8, "reached_none": 3})["stable"] is True
    assert effect_parts({**found, "reached": 3, "reached_none": 8})["stable"] is False
    assert effect_parts({**found, "reached": 8, "reached_none": 8})["stable"] is None


def sizes(*words: str) -> dict[int, str]:
    """Verdict words for batch sizes 4, 8, 16 and 32."""
    return dict(zip((4, 8, 16, 32), words, strict=True))


FINE = sizes(SAME, SAME, SAME, SAME)


@pytest.mark.parametrize(
    ("batch", "control", "smallest", "verdict"),
    [
        (sizes(WORSE, SAME, SAME, SAME), FINE, 8, SUPPORTED),
        (sizes(WORSE, WORSE, SAME, BETTER), FINE, 16, SUPPORTED),
        (sizes(WORSE, WORSE, WORSE, SAME), FINE, 32, OPEN),
        (sizes(WORSE, WORSE, WORSE, WORSE), FINE, 64, DEPENDS),
        (sizes(WORSE, WORSE, WORSE, WORSE), sizes(*[WORSE] * 4), 64, REFUTED),
        (sizes(WORSE, SAME, SAME, SAME), sizes(WORSE, SAME, SAME, SAME), 8, DEPENDS),
        (FINE, FINE, 4, OPEN),
        (sizes(FEW, FEW, FEW, FEW), FINE, None, OPEN),
    ],
)
def test_batch_sizes(
    batch: dict[int, str], control: dict[int, str], smallest: int | None, verdict: Verdict
):
    assert smallest_size(batch, 64) == smallest
    assert combine(batch_sizes(batch, control, 64)) is verdict


def test_what_does_not_train_cannot_lose():
    words = sizes(WORSE, SAME, SAME, SAME)
    assert combine(batch_sizes(words, FINE, 64, trained=False)) is OPEN
    assert trains(0.5, 0.1, 0.9)
    assert not trains(0.49, 0.1, 0.9)


@pytest.mark.parametrize(
    ("layer", "batch", "verdict"),
    [
        ([0.0, 0.0], [0.5, 0.5], SUPPORTED),
        ([0.5, 0.5], [0.5, 0.5], REFUTED),
        ([0.0, 0.5], [0.5, 0.5], DEPENDS),
        ([0.0, 1e-3], [0.5, 0.5], OPEN),
        ([0.0, 0.0], [0.0, 0.5], OPEN),
    ],
)
def test_independence_needs_a_control_that_changes(
    layer: list[float], batch: list[float], verdict: Verdict
):
    assert independent(layer, batch) is verdict


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ((WORSE, WORSE), SUPPORTED),
        ((WORSE, SAME), SUPPORTED),
        ((BETTER, BETTER), REFUTED),
        ((WORSE, BETTER), DEPENDS),
        ((SAME, SAME), OPEN),
        ((FEW, FEW), OPEN),
    ],
)
def test_layer_norm_in_depth(words: tuple[str, str], verdict: Verdict):
    assert combine(depth_parts(dict(zip((40, 80), words, strict=True)))) is verdict


@pytest.mark.parametrize(
    ("scaled", "shifted", "verdict"),
    [(1e-7, 0.5, SUPPORTED), (0.5, 0.5, REFUTED), (1e-7, 1e-7, REFUTED), (1e-3, 0.5, OPEN)],
)
def test_invariances(scaled: float, shifted: float, verdict: Verdict):
    theory = {"scaling": True, "shift": False}
    assert invariant({"scaling": scaled, "shift": shifted}, theory) is verdict


def test_fewer_operations_are_not_enough_if_the_time_is_not_less():
    fast, slow, near = Timing(1.0, 0.1), Timing(2.0, 0.1), Timing(1.05, 0.1)
    assert computation((13, 20), {"eager": (fast, slow), "compiled": (fast, slow)}) is SUPPORTED
    assert computation((13, 20), {"eager": (slow, fast), "compiled": (fast, slow)}) is DEPENDS
    assert computation((13, 20), {"eager": (fast, near)}) is DEPENDS
    assert computation((20, 20), {"eager": (fast, slow)}) is REFUTED
    assert computation((13, 20), {}) is OPEN


def test_the_choice_depends_if_two_norms_change_places():
    duels = [Duel("deep", "batch", "layer", BETTER), Duel("small", "batch", "layer", WORSE)]
    assert choice(duels) is SUPPORTED
    assert reversals(duels) == [("batch", "layer", "deep", "small")]


def test_the_choice_does_not_depend_if_one_norm_beats_every_other_one():
    duels = [
        Duel("deep", "batch", "layer", BETTER),
        Duel("deep", "rms", "batch", WORSE),
        Duel("small", "batch", "layer", SAME),
    ]
    assert choice(duels) is REFUTED
    assert favourites(duels) == ["batch"]


def test_the_choice_is_open_without_decisions():
    assert choice([]) is OPEN
    assert choice([Duel("deep", "batch", "layer", FEW)]) is OPEN
    undecided = [Duel("deep", "batch", "layer", BETTER), Duel("deep", "batch", "rms", SAME)]
    assert choice(undecided) is OPEN
