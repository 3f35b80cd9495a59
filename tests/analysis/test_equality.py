"""The test that several norms are equal."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from normbench.analysis.equality import equality, permutations, smallest_p
from normbench.analysis.statistics import sign_flip_p


def largest_t_squared(scores: np.ndarray) -> float:
    """Over pairs, by the textbook: t^2 / (t^2 + n - 1), so that no spread is 1 and not infinite."""
    found = []
    for i, j in itertools.combinations(range(scores.shape[1]), 2):
        d = scores[:, i] - scores[:, j]
        if d.std() < 1e-12:
            found.append(float(abs(d.mean()) > 0))
            continue
        t = d.mean() / (d.std(ddof=1) / np.sqrt(len(d)))
        found.append(t**2 / (t**2 + len(d) - 1))
    return max(found)


def test_the_p_value_counts_every_relabeling_within_the_seeds() -> None:
    scores = np.random.default_rng(0).normal([0, 1.0, 2.5], 1, (4, 3))
    orders = list(itertools.permutations(range(3)))
    observed = largest_t_squared(scores)
    values = [
        largest_t_squared(np.array([row[list(o)] for row, o in zip(scores, labels, strict=True)]))
        for labels in itertools.product(orders, repeat=4)
    ]
    result = equality(scores)
    counted = np.mean(np.array(values) >= observed - 1e-9)
    assert result.worst == 0
    # Never below the p-value of the same statistic over normal scores.
    assert result.p_value == pytest.approx(max(counted, result.p_value))
    rng = np.random.default_rng(1)
    normal = [largest_t_squared(rng.normal(size=(4, 3))) for _ in range(2000)]
    assert result.p_value == pytest.approx(
        max(counted, np.mean(np.array(normal) >= observed)), abs=0.03
    )


def test_two_norms_get_the_exact_sign_flip_test() -> None:
    scores = np.random.default_rng(2).normal(0, 1, (9, 2))
    assert equality(scores).p_value == sign_flip_p((scores[:, 0] - scores[:, 1])[None])[0]


def test_identical_norms_are_never_told_apart_and_a_constant_difference_always_is() -> None:
    same = np.repeat(np.random.default_rng(3).normal(0, 1, (8, 1)), 4, axis=1)
    assert equality(same).p_value == 1
    shifted = same - np.array([0, 0, 0, 1e-3])
    result = equality(shifted)
    assert result.worst == 3
    assert result.p_value < 0.01


def test_misses_are_ranked_below_every_score() -> None:
    scores = -np.random.default_rng(4).uniform(100, 900, (8, 3))
    scores[:, 1] = -np.inf
    result = equality(scores, ranked=True)
    assert result.worst == 1
    assert result.p_value < 0.02


def test_relabelings_are_all_where_they_are_few_and_a_fixed_sample_where_not() -> None:
    assert len(permutations(4, 3)) == 6**3
    assert smallest_p(4, 3) == pytest.approx(1 / 6**3)
    many = permutations(8, 4)
    assert many.shape == (1999, 8, 4)
    assert (np.sort(many, axis=2) == np.arange(4)).all()
    assert len(permutations(8, 4, alpha=0.001)) > 1999
