"""The arithmetic of a paired comparison, on arrays of many comparisons at once.

Everything is deterministic: random draws come from streams named by the number of pairs alone, so
the numbers of one comparison depend on its own differences and on nothing else in the table.
"""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

from normbench.seeding import stream

Floats = NDArray[np.float64]

EXACT_PAIRS = 24
"""Up to so many pairs the sign-flip test looks at all 2^n flips; above, at a random sample."""

LISTED_PAIRS = 10
"""Up to so many pairs every flip is listed, for all rows at once."""

RANDOM_FLIPS = 9_999
# float64 values in one temporary.
_CHUNK = 250_000
_SIGNS_CHUNK = 2_500_000
# Sums of the same numbers in another order differ by rounding; they must still count as equal.
_TIE = 1e-9


def sign_flip_p(differences: Floats) -> Floats:
    """Two-sided p-value of the paired sign-flip permutation test, one for each row.

    Under the null hypothesis the two members of a pair are exchangeable, so every difference could
    as well have had the other sign: p is the share of the 2^n sign patterns whose sum is at least
    as far from zero as the observed one. Fisher 1935, The Design of Experiments, section 21. It is
    the ``permutation_type="samples"`` of ``scipy.stats.permutation_test`` for the sum. A zero
    carries no sign, so the smallest p is 2/2^(number of differences that are not zero).

    Given signed ranks instead of differences this is the Wilcoxon signed-rank test, exact with
    ties too.

    Exact up to ``EXACT_PAIRS``: the sums over either half of the pairs are listed, one list is
    sorted, and the pairs of sums beyond the observed one are counted by bisection (Horowitz &
    Sahni 1974 do so for the knapsack), which costs 2^(n/2) and not 2^n. Above that, (b + 1)/(m + 1)
    over m random patterns, of which b are as extreme: still a valid p-value (Phipson & Smyth 2010,
    arXiv:1603.05766).

    differences: [G, n], finite. Returns [G]; 1 where all are zero, NaN where n is 0.
    """
    groups, pairs = differences.shape
    if pairs == 0:
        return np.full(groups, np.nan)
    if not np.isfinite(differences).all():
        raise ValueError("the sign-flip test needs finite differences")
    size = np.abs(differences).sum(axis=1)
    # Never below zero: no sum is nearer to zero than zero, so a zero sum gives p = 1.
    bound = np.maximum(np.abs(differences.sum(axis=1)) - _TIE * size, 0.0)
    counter = _count_all if pairs <= EXACT_PAIRS else _count_sample
    width = 1 << -(-pairs // 2) if pairs <= EXACT_PAIRS else RANDOM_FLIPS
    width = 1 << pairs if pairs <= LISTED_PAIRS else width
    p = np.empty(groups)
    for part in chunks(groups, width, _CHUNK):
        p[part] = counter(differences[part], bound[part])
    p[bound == 0.0] = 1.0
    return p


def _count_all(differences: Floats, bound: Floats) -> Floats:
    """Share of all sign patterns with |sum| >= bound > 0. differences: [G, n], bound: [G]."""
    pairs = differences.shape[1]
    if pairs <= LISTED_PAIRS:
        # The last sign stays, since a pattern and its mirror image are one: 2^(n - 1) sums.
        sums = _signed_sums(differences[:, :-1]) + differences[:, -1:]
        return (np.abs(sums) >= bound[:, None]).mean(axis=1)
    left = _signed_sums(differences[:, : pairs // 2])
    right = np.sort(_signed_sums(differences[:, pairs // 2 :]), axis=1)
    p = np.empty(len(differences))
    for row in range(len(differences)):
        below = np.searchsorted(right[row], bound[row] - left[row], side="left")
        # The patterns come in pairs s and -s, so the lower tail is as large as the upper one.
        p[row] = 2.0 * (left.shape[1] * right.shape[1] - below.sum()) / 2.0**pairs
    return p


def _signed_sums(values: Floats) -> Floats:
    """All 2^k sums of +-values. values: [G, k]; returns [G, 2^k]."""
    sums = np.zeros((len(values), 1))
    for column in values.T:
        sums = np.hstack([sums + column[:, None], sums - column[:, None]])
    return sums


def _count_sample(differences: Floats, bound: Floats) -> Floats:
    """(b + 1)/(m + 1) over m random sign patterns. differences: [G, n], bound: [G]."""
    signs = random_signs(differences.shape[1])
    sums = np.zeros((len(differences), RANDOM_FLIPS))
    for part in chunks(len(signs), RANDOM_FLIPS, _SIGNS_CHUNK):
        sums += differences[:, part] @ signs[part].astype(float)
    extreme = (np.abs(sums) >= bound[:, None]).sum(axis=1)
    return (extreme + 1.0) / (RANDOM_FLIPS + 1.0)


@functools.lru_cache(maxsize=1)  # for the next chunk
def random_signs(pairs: int) -> NDArray[np.int8]:
    """[n, RANDOM_FLIPS] of -1 and 1, one byte each: with thousands of pairs they are many."""
    draw = stream(0, "sign flips", pairs)
    signs = np.empty((pairs, RANDOM_FLIPS), dtype=np.int8)
    for part in chunks(pairs, RANDOM_FLIPS, _SIGNS_CHUNK):
        signs[part] = draw.choice(np.array([-1, 1], dtype=np.int8), size=signs[part].shape)
    return signs


def signed_ranks(differences: Floats) -> Floats:
    """Each row's ranks of |difference|, with the sign of the difference.

    Ties share the mean of their ranks; infinite differences tie above all finite ones. Zeros take
    part in the ranking and then score 0 (Pratt 1959, JASA 54:655), so they stay among the n pairs
    but carry no sign. differences: [G, n] without NaN; returns [G, n].
    """
    if differences.shape[1] == 0:
        return differences.copy()
    size = np.abs(differences)
    order = np.argsort(size, axis=1, kind="stable")
    ordered = np.take_along_axis(size, order, axis=1)
    column = np.broadcast_to(np.arange(size.shape[1]), size.shape)
    new = np.ones(size.shape, dtype=bool)  # not tied with the one before
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    last = np.ones(size.shape, dtype=bool)
    last[:, :-1] = new[:, 1:]
    lowest = np.maximum.accumulate(np.where(new, column, 0), axis=1)
    after = np.where(last, column, size.shape[1])[:, ::-1]
    highest = np.minimum.accumulate(after, axis=1)[:, ::-1]
    ranks = np.empty(size.shape)
    np.put_along_axis(ranks, order, (lowest + highest) / 2 + 1, axis=1)
    return np.sign(differences) * ranks


def holm(p: Floats, comparisons: NDArray[np.int64] | None = None) -> Floats:
    """Holm's step-down adjusted p-values along the last axis. Holm 1979, Scand. J. Stat. 6:65.

    The i-th smallest of m is multiplied by m - i + 1, then made non-decreasing and cut at 1.
    ``comparisons`` [...] is m where more comparisons were planned than have a p-value; by default
    m counts those that are not NaN. NaN stays NaN. p: [..., k]; returns [..., k].
    """
    if comparisons is None:
        comparisons = np.isfinite(p).sum(axis=-1)
    order = np.argsort(p, axis=-1)  # NaN last
    factor = np.maximum(np.asarray(comparisons)[..., None] - np.arange(p.shape[-1]), 1)
    steps = np.minimum(np.take_along_axis(p, order, axis=-1) * factor, 1.0)
    steps = np.maximum.accumulate(steps, axis=-1)
    adjusted = np.empty_like(steps)
    np.put_along_axis(adjusted, order, steps, axis=-1)
    return adjusted


def chunks(rows: int, width: int, size: int) -> list[slice]:
    """Slices over ``rows`` such that rows x width of one slice is about ``size``."""
    step = max(1, size // max(width, 1))
    return [slice(start, start + step) for start in range(0, rows, step)]
