"""Every statistic against an independent computation or simulated data with a known answer."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from normbench.analysis import statistics
from normbench.analysis.statistics import (
    EXACT_PAIRS,
    holm,
    sign_flip_p,
    signed_ranks,
)


def brute_force_p(differences: np.ndarray) -> float:
    """All 2^n sign patterns, one by one."""
    observed = abs(differences.sum())
    sums = [
        abs(np.dot(signs, differences))
        for signs in itertools.product((1, -1), repeat=len(differences))
    ]
    return float(np.mean([value >= observed - 1e-9 for value in sums]))


@given(
    st.lists(
        st.one_of(st.integers(-5, 5).map(float), st.floats(-1, 1, allow_subnormal=False)),
        min_size=1,
        max_size=9,
    )
)
@settings(max_examples=100, deadline=None)
def test_the_p_value_equals_full_enumeration_also_with_ties_and_zeros(values: list[float]) -> None:
    differences = np.round(np.array(values), 3)
    assert sign_flip_p(differences[None])[0] == pytest.approx(brute_force_p(differences))


@pytest.mark.parametrize("pairs", [2, 7, 12, 13])
def test_the_p_value_equals_scipys_permutation_test(pairs: int) -> None:
    differences = np.random.default_rng(pairs).normal(0.4, 1, pairs)
    expected = stats.permutation_test(
        (differences,),
        lambda x, axis: x.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=np.inf,
    ).pvalue
    assert sign_flip_p(differences[None])[0] == pytest.approx(expected)


def test_ranks_are_those_of_scipy_whatever_ties_and_misses_there_are() -> None:
    draw = np.random.default_rng(0)
    for pairs in (1, 2, 5, 30):
        differences = draw.integers(-4, 5, (40, pairs)).astype(float)
        differences[draw.random(differences.shape) < 0.1] = np.inf
        differences[draw.random(differences.shape) < 0.1] = -np.inf
        theirs = np.sign(differences) * stats.rankdata(np.abs(differences), axis=1)
        assert (signed_ranks(differences) == theirs).all()


def test_signed_ranks_give_the_exact_wilcoxon_test() -> None:
    differences = np.random.default_rng(3).normal(0.5, 1, (20, 11))
    p = sign_flip_p(signed_ranks(differences))
    assert p == pytest.approx(stats.wilcoxon(differences, axis=1, method="exact").pvalue)


def test_fishers_test_of_darwins_maize_gives_the_published_p_value() -> None:
    # Fisher 1935, section 21: 15 pairs of plants, differences in eighths of an inch. He counts
    # 863 of 2^15 sign patterns with a sum as far below, and 1726/32768 = 0.0527 two-sided.
    differences = np.array(
        [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], dtype=float
    )
    assert sign_flip_p(differences[None])[0] == pytest.approx(1726 / 2**15)


def test_differences_equal_but_for_rounding_count_as_ties() -> None:
    # 0.1 + 0.2 is not 0.3 in binary: a strict comparison would lose patterns.
    differences = np.array([0.3, -0.1, -0.2, 0.1, 0.2, 0.3])
    assert sign_flip_p(differences[None])[0] == brute_force_p(np.array([3.0, -1, -2, 1, 2, 3]))


@pytest.mark.parametrize("pairs", range(1, EXACT_PAIRS + 1))
def test_the_smallest_p_is_two_over_two_to_the_pairs(pairs: int) -> None:
    assert sign_flip_p(np.linspace(1, 2, pairs)[None])[0] == pytest.approx(2 / 2**pairs)


def test_zero_differences_carry_no_sign() -> None:
    p = sign_flip_p(np.array([[0.0, 0, 0, 1, 2, 3], [0, 0, 0, 0, 0, 0]]))
    assert p.tolist() == [2 / 2**3, 1.0]


def test_no_pairs_give_no_p_value() -> None:
    assert np.isnan(sign_flip_p(np.empty((3, 0)))).all()


def test_infinite_differences_are_refused_by_the_test_on_values() -> None:
    with pytest.raises(ValueError, match="finite"):
        sign_flip_p(np.array([[1.0, np.inf]]))


def test_the_random_test_for_many_pairs_agrees_with_the_exact_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    differences = np.random.default_rng(1).normal(0.3, 1, (50, 20))
    exact = sign_flip_p(differences)
    monkeypatch.setattr(statistics, "EXACT_PAIRS", 10)
    sampled = sign_flip_p(differences)
    assert np.abs(sampled - exact).max() < 0.025  # 5 standard errors at p = 0.5
    assert sampled.min() >= 1 / (statistics.RANDOM_FLIPS + 1)


def test_infinite_differences_rank_above_all_finite_ones_and_tie_with_each_other() -> None:
    ranks = signed_ranks(np.array([[np.inf, -5.0, 0.0, -np.inf, 2.0]]))
    assert ranks.tolist() == [[4.5, -3.0, 0.0, -4.5, 2.0]]


def test_holm_equals_the_one_computed_by_hand() -> None:
    # Sorted: 0.005 x4 = 0.02, 0.01 x3 = 0.03, 0.03 x2 = 0.06, 0.04 x1 = 0.04 raised to 0.06.
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_cuts_at_one_and_leaves_nan_alone() -> None:
    adjusted = holm(np.array([[0.6, np.nan, 0.7]]))
    assert adjusted[0, 0] == adjusted[0, 2] == 1.0
    assert np.isnan(adjusted[0, 1])


def test_holm_counts_planned_comparisons_that_have_no_p_value() -> None:
    assert holm(np.array([[0.01, np.nan]]), np.array([2]))[0, 0] == pytest.approx(0.02)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_never_lowers_a_p_value_nor_changes_their_order(values: list[float]) -> None:
    p = np.array(values)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= 1).all()
    assert (np.diff(adjusted[np.argsort(p, kind="stable")]) >= 0).all()
