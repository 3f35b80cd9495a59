"""Intervals: they invert the test that is made, and cover what they promise."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from normbench.analysis import intervals
from normbench.analysis.intervals import (
    flip_interval,
    mean_interval,
    shift,
    shift_interval,
    student_interval,
)
from normbench.analysis.statistics import sign_flip_p, signed_ranks


@pytest.mark.parametrize("pairs", [6, 9, 13])
def test_the_interval_holds_what_the_sign_flip_test_does_not_reject(pairs: int) -> None:
    d = np.random.default_rng(pairs).normal(0.5, 1, (4, pairs))
    low, high = flip_interval(d)
    width = (high - low) * 1e-3
    for end, outward in ((low, -1), (high, 1)):
        assert (sign_flip_p(d - (end + outward * width)[:, None]) <= 0.05).all()
        assert (sign_flip_p(d - (end - outward * width)[:, None]) > 0.05).all()


def test_bisected_and_listed_intervals_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    d = np.random.default_rng(0).normal(0.5, 1, (5, 11))
    listed = flip_interval(d)
    monkeypatch.setattr(intervals, "_LISTED", 5)
    assert np.allclose(listed, flip_interval(d), atol=1e-9)


def test_with_many_pairs_the_interval_inverts_the_random_flips() -> None:
    d = np.random.default_rng(1).normal(0.3, 1, (3, 30))
    low, high = flip_interval(d)
    assert (sign_flip_p(d - (low - 1e-6)[:, None]) <= 0.05).all()
    assert (sign_flip_p(d - (low + 1e-6)[:, None]) > 0.05).all()
    assert (low < high).all()


def test_below_the_floor_no_end_is_finite() -> None:
    low, high = mean_interval(np.ones((2, 5)) + np.arange(5))
    assert np.isneginf(low).all()
    assert np.isposinf(high).all()
    assert np.isneginf(shift_interval(np.arange(5.0)[None])[0]).all()


def test_the_shift_is_the_median_of_the_pairwise_means() -> None:
    d = np.random.default_rng(2).normal(0, 1, 9)
    walsh = [(d[i] + d[j]) / 2 for i in range(9) for j in range(i, 9)]
    assert shift(d[None])[0] == pytest.approx(np.median(walsh))


def test_a_miss_counts_as_larger_than_any_shift_and_one_on_either_side_cancels() -> None:
    assert shift(np.array([[-10.0] * 11 + [np.inf]]))[0] == -10
    assert shift(np.array([[np.inf] * 5 + [1.0]]))[0] == np.inf
    assert shift(np.array([[np.inf, -np.inf]]))[0] == 0
    assert shift(np.array([[np.inf, -np.inf, 3.0]]))[0] == 3


@pytest.mark.parametrize("misses", [0, 1, 2])
def test_the_interval_of_the_shift_holds_what_the_signed_ranks_do_not_reject(misses: int) -> None:
    d = np.round(np.random.default_rng(misses).normal(20, 60, (1, 10)), -1)
    d[0, :misses] = np.inf
    low, high = shift_interval(d)
    grid = np.arange(-300, 300, 2.5)
    kept = [t for t in grid if sign_flip_p(signed_ranks(d - t))[0] > 0.05]
    assert low[0] == pytest.approx(min(kept), abs=5)
    if np.isfinite(high[0]):
        assert high[0] == pytest.approx(max(kept), abs=5)
    else:
        assert max(kept) == grid[-1]


def test_without_ties_the_interval_of_the_shift_is_the_published_order_statistic() -> None:
    # n = 10: the 9th smallest and largest of 55 Walsh averages, 95.1 % (Hollander & Wolfe, A.4).
    d = np.random.default_rng(3).normal(0, 1, (1, 10))
    walsh = np.sort([(d[0, i] + d[0, j]) / 2 for i in range(10) for j in range(i, 10)])
    low, high = shift_interval(d)
    assert (low[0], high[0]) == pytest.approx((walsh[8], walsh[-9]))


def test_students_interval_of_a_symmetric_sample_is_scipys() -> None:
    d = np.array([[-2.0, -1, 0, 1, 2, -3, 3]])
    low, high = student_interval(d, 0.05)
    expected = stats.ttest_1samp(d[0], 0).confidence_interval(0.95)
    assert (low[0], high[0]) == pytest.approx(tuple(expected))


def test_an_interval_depends_on_its_own_differences_and_moves_and_scales_with_them() -> None:
    d = np.random.default_rng(5).normal(0, 1, (40, 9))
    together = np.array(mean_interval(d))
    alone = np.array(mean_interval(d[7:8]))
    assert np.allclose(together[:, 7:8], alone, rtol=1e-9)
    assert np.allclose(mean_interval(1000 * d + 3), 1000 * together + 3)


def sample(kind: str, shape: tuple[int, int], rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Paired differences and their true mean."""
    match kind:
        case "normal":
            return rng.normal(0.3, 1, shape), 0.3
        case "t3":
            return rng.standard_t(3, shape) + 0.3, 0.3
        case "exponential":
            return rng.exponential(1, shape), 1.0
        case "lognormal":
            return rng.lognormal(0, 1, shape), math.exp(0.5)
        case "ties":
            return np.where(rng.random(shape) < 0.5, 0, rng.normal(0.5, 1, shape)), 0.25
        case "accuracy":
            first, second = (rng.binomial(360, rng.beta(a, 2, shape)) / 360 for a in (30, 40))
            return first - second, 30 / 32 - 40 / 42
    raise ValueError(kind)


def coverage(kind: str, pairs: int, samples: int) -> float:
    """Of samples of which enough pairs differ: the others get no interval."""
    d, truth = sample(kind, (samples, pairs), np.random.default_rng([pairs, 11]))
    d = d[(d != 0).sum(axis=1) >= 6]
    low, high = mean_interval(d)
    return float(np.mean((low <= truth) & (truth <= high)))


@pytest.mark.parametrize("kind", ["normal", "lognormal", "ties"])
def test_the_interval_covers_the_true_mean(kind: str) -> None:
    assert 0.92 <= coverage(kind, 8, 800) <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize("pairs", [6, 8, 12, 16, 20])
@pytest.mark.parametrize("kind", ["normal", "t3", "exponential", "lognormal", "ties", "accuracy"])
def test_the_interval_covers_what_its_docstring_says(kind: str, pairs: int) -> None:
    if kind == "ties" and pairs == 6:
        pytest.skip("fewer than six pairs differ")
    covered = coverage(kind, pairs, 3000 if pairs <= 12 else 500)
    print(f"\n{kind}, {pairs} pairs: {100 * covered:.1f} %")
    assert covered >= 0.92 if kind == "lognormal" else covered >= 0.925
    assert covered <= 0.995
