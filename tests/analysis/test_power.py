"""Power against simulation of the very test that is made."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from normbench.analysis.power import (
    _quantile,
    detectable_effect,
    look_seeds,
    needed_seeds,
    power_at,
    seeds_for,
    share_of_look,
)
from normbench.analysis.statistics import sign_flip_p


@pytest.mark.parametrize(
    ("comparisons", "seeds"), [(1, 6), (2, 7), (3, 7), (4, 8), (6, 8), (7, 9), (21, 10)]
)
def test_needed_seeds_are_the_fewest_that_survive_holm(comparisons: int, seeds: int) -> None:
    assert needed_seeds(comparisons) == seeds
    assert comparisons * 2 / 2**seeds <= 0.05 < comparisons * 2 / 2 ** (seeds - 1)


@pytest.mark.parametrize("pairs", [6, 7, 8, 10, 12, 16])
@pytest.mark.parametrize("comparisons", [1, 3])
def test_the_power_is_that_of_the_simulated_test(pairs: int, comparisons: int) -> None:
    for effect in (0.5, 1.0, 1.5):
        d = np.random.default_rng([pairs, comparisons]).normal(effect, 1, (1500, pairs))
        simulated = np.mean(sign_flip_p(d) * comparisons <= 0.05)
        # Two standard errors of the simulation are 2.6 points; see the docstring for the rest.
        assert simulated - 0.03 < power_at(effect, pairs, comparisons) < simulated + 0.09


def test_students_quantile_and_power_equal_scipys() -> None:
    assert _quantile(0.02, 9) == pytest.approx(stats.t.isf(0.01, 9), rel=1e-6)
    bound = stats.t.isf(0.025, 49)
    shift = 0.4 * math.sqrt(50)
    expected = stats.nct.sf(bound, 49, shift) + stats.nct.cdf(-bound, 49, shift)
    assert power_at(0.4, 50, 1) == pytest.approx(expected, abs=1e-4)


def test_below_the_floor_nothing_can_be_found() -> None:
    assert power_at(5.0, 5, 1) == 0
    assert detectable_effect(5, 1) == math.inf
    assert math.isfinite(detectable_effect(6, 1))


def test_effect_seeds_and_power_agree_with_each_other() -> None:
    effect = detectable_effect(12, 3)
    assert power_at(effect, 12, 3) == pytest.approx(0.8, abs=1e-6)
    needed = seeds_for(1.0, 3)
    assert power_at(1.0, needed, 3) >= 0.8 > power_at(1.0, needed - 1, 3)
    with pytest.raises(ValueError, match="zero"):
        seeds_for(0.0, 1)


def test_without_an_effect_the_power_is_the_level_that_the_test_can_hold() -> None:
    assert power_at(0.0, 8, 3) == 4 / 2**8


@pytest.mark.parametrize("looks", [(8, 12), (8, 12, 16), look_seeds(8, 32, 4)])
def test_the_looks_share_alpha_among_them(looks: tuple[int, ...]) -> None:
    assert sum(share_of_look(seeds, looks) for seeds in looks) == pytest.approx(1)


def test_one_look_has_all_of_alpha() -> None:
    assert share_of_look(8, ()) == share_of_look(8, (8,)) == 1


def test_four_norms_can_be_told_from_a_baseline_that_left_at_the_first_of_the_usual_looks() -> None:
    looks = look_seeds(8, 32, 4)
    assert looks == (8, 12, 16, 20, 24, 28, 32)
    assert needed_seeds(4, 0.05 * share_of_look(8, looks)) <= 8
