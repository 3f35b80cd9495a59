"""Are several norms equal, and if not, which is the worst: the step of the model confidence set.

The statistic is the largest studentized difference over all pairs of norms; its distribution under
equality comes from permuting the labels of the norms within each seed. Hansen, Lunde & Nason 2011,
Econometrica 79:453 (their T_R); the permutation in place of their bootstrap makes the test of
equality exact where the norms are exchangeable within a seed.
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from normbench.analysis.statistics import sign_flip_p, signed_ranks
from normbench.seeding import stream

Floats = NDArray[np.float64]

PERMUTATIONS = 1_999
FINEST = 39_999
"""Random relabelings: so many where alpha is 0.05, and more where it is shared, up to FINEST."""

# Ending early cannot make a p-value small: only a count that went to the end can reach alpha.
_FIRST_LOOKS = (199, 1_999)
_CLEARLY_EQUAL = 4
# float64 values in one temporary.
_CHUNK = 2_000_000
# Sums of the same numbers in another order differ by rounding; they must still count as equal.
_TIE = 1e-9


class Equality(NamedTuple):
    """p_value of the test of equality, and the position of the norm that is worst."""

    p_value: float
    worst: int


def equality(scores: Floats, *, ranked: bool = False, alpha: float = 0.05) -> Equality:
    """Test that all norms are equal; the worst is the loser of the most different pair.

    scores: [S, k], higher is better, paired by seed; -inf is a miss and is allowed with ``ranked``,
    where every pair of norms is compared by the signed ranks of its differences.

    Two norms: the exact sign-flip test. More: every relabeling where they are at most
    ``PERMUTATIONS``, else (b + 1)/(B + 1) over B random ones from a stream named by S and k. B
    grows as ``alpha`` shrinks. A test that is far from ``alpha`` after the first relabelings ends
    there.

    Norms of equal mean and unequal spread are not exchangeable: with one of ten times the spread of
    the others, relabeling alone calls four equal norms different in 10 % of samples. So p is never
    below that of the same statistic over normal scores, in which every pair has Student's t
    whatever the spreads are.

    A pair that is equal at every seed has the statistic zero; one that differs by the same amount
    at every seed has the largest possible one.
    """
    seeds, count = scores.shape
    if count < 2 or seeds < 1:
        raise ValueError("needs two norms and a seed")
    first, second = np.triu_indices(count, 1)
    observed = _pair_differences(scores[None], first, second, ranked)
    statistic = _studentized(observed)[0]  # [pairs]
    worst = _worst(observed[0], statistic, first, second, count)
    if count == 2:
        return Equality(float(sign_flip_p(observed[:, :, 0])[0]), worst)
    bound = statistic.max() - _TIE
    if statistic.max() <= 0:
        return Equality(1.0, worst)
    relabelings = permutations(seeds, count, alpha)
    beyond = done = 0
    for start, stop in _parts(len(relabelings), seeds * len(first)):
        permuted = scores[np.arange(seeds)[:, None], relabelings[start:stop]]
        largest = _studentized(_pair_differences(permuted, first, second, ranked)).max(axis=1)
        beyond, done = beyond + int((largest >= bound).sum()), stop
        if (beyond + 1) / (done + 1) > _CLEARLY_EQUAL * alpha:
            break
    # Where all relabelings are listed the observed one is among them.
    p = beyond / done if _exact(seeds, count) else (beyond + 1) / (done + 1)
    normal = _normal(seeds, count, ranked, len(relabelings))
    above = len(normal) - int(np.searchsorted(normal, bound))
    return Equality(max(p, (above + 1) / (len(normal) + 1)), worst)


def smallest_p(seeds: int, count: int) -> float:
    """The smallest p-value that any outcome of so many seeds and norms has: (k!)^(1 - S)."""
    return float(math.factorial(count)) ** (1.0 - seeds) if seeds else 1.0


def permutations(seeds: int, count: int, alpha: float = 0.05) -> NDArray[np.int8]:
    """Labels of the norms within each seed, [B, S, k]: all that differ, or random ones.

    The first seed keeps its labels where all are listed: relabeling every seed alike changes
    nothing.
    """
    wanted = int(min(FINEST, max(PERMUTATIONS, math.ceil(100 / alpha) - 1)))
    return _permutations(seeds, count, wanted)


@functools.lru_cache(maxsize=64)  # the stages and looks of one experiment
def _permutations(seeds: int, count: int, wanted: int) -> NDArray[np.int8]:
    if _exact(seeds, count):
        every = list(itertools.permutations(range(count)))
        rest = itertools.product(every, repeat=seeds - 1)
        return np.array([[every[0], *labels] for labels in rest], dtype=np.int8)
    draw = stream(0, "labels", seeds, count)
    order = np.tile(np.arange(count, dtype=np.int8), (wanted, seeds, 1))
    return draw.permuted(order, axis=2)


@functools.lru_cache(maxsize=128)
def _normal(seeds: int, count: int, ranked: bool, wanted: int) -> Floats:
    """The largest statistic of samples of independent normal scores, sorted: [B]."""
    draw = stream(0, "normal scores", seeds, count)
    first, second = np.triu_indices(count, 1)
    largest = []
    for start, stop in _parts(max(wanted, PERMUTATIONS), seeds * len(first)):
        scores = draw.standard_normal((stop - start, seeds, count))
        largest.append(_studentized(_pair_differences(scores, first, second, ranked)).max(axis=1))
    return np.sort(np.concatenate(largest))


def _exact(seeds: int, count: int) -> bool:
    return smallest_p(seeds, count) * (PERMUTATIONS + 1) >= 1


def _parts(total: int, width: int) -> list[tuple[int, int]]:
    """Two small first parts, then as many at a time as fit."""
    size = max(1, _CHUNK // max(width, 1))
    edges = [0, *(edge for edge in _FIRST_LOOKS if edge < total)]
    while edges[-1] < total:
        edges.append(min(edges[-1] + size, total))
    return list(itertools.pairwise(edges))


def _pair_differences(
    scores: Floats, first: NDArray[np.intp], second: NDArray[np.intp], ranked: bool
) -> Floats:
    """First minus second of every pair, or their signed ranks. [B, S, k] -> [B, S, pairs]."""
    a, b = scores[:, :, first], scores[:, :, second]
    if not ranked:
        return a - b
    with np.errstate(invalid="ignore"):
        difference = np.where(a == b, 0.0, a - b)
    batch, seeds, pairs = difference.shape
    rows = difference.transpose(0, 2, 1).reshape(batch * pairs, seeds)
    return signed_ranks(rows).reshape(batch, pairs, seeds).transpose(0, 2, 1)


def _studentized(differences: Floats) -> Floats:
    """(sum d)^2 / (S sum d^2) in [0, 1], which grows with |t|: t^2 = (S - 1) u / (1 - u).

    Unlike t it is finite where all differences are the same. [B, S, pairs] -> [B, pairs].
    """
    size = (differences**2).sum(axis=1) * differences.shape[1]
    total = differences.sum(axis=1) ** 2
    return np.divide(total, size, out=np.zeros_like(total), where=size > 0)


def _worst(
    differences: Floats,
    statistic: Floats,
    first: NDArray[np.intp],
    second: NDArray[np.intp],
    count: int,
) -> int:
    """The loser of the pair with the largest statistic; among equals the lowest over all pairs."""
    total = differences.sum(axis=0)  # [pairs]
    strength = np.bincount(first, total, count) - np.bincount(second, total, count)
    loser = np.where(total < 0, first, second)
    tied = statistic >= statistic.max() - _TIE
    candidates = np.unique(loser[tied])
    # Of exact equals the later one, so that the first named leads.
    return int(candidates[::-1][np.argmin(strength[candidates[::-1]])])
