"""Intervals of a paired difference that belong to the test that is made, on many rows at once.

They speak of runs that end alike. Where a few runs end in another way (they diverge, or never
learn), the mean has a part that a sample without such a run does not show, and no interval from
this sample can cover it: of samples of 8 in which one run in ten fails every method covers 60 %.
``comparison`` prints none where the outcomes show such a mixture; one that did not show itself
cannot be seen.
"""

from __future__ import annotations

import functools
import math

import numpy as np
from numpy.typing import NDArray

from normbench.analysis.statistics import (
    EXACT_PAIRS,
    chunks,
    random_signs,
    sign_flip_p,
    signed_ranks,
)
from normbench.seeding import stream

Floats = NDArray[np.float64]

RESAMPLES = 1_999
SKEWED, SKEWED_SHARE = 0.5, 0.1
"""Above this sample skewness an interval of a mean is made at this share of its alpha: a skewed
sample is mostly one that lacks its largest values."""

# Up to so many pairs the means of all subsets are listed; above, the test itself is bisected.
_LISTED = 12
_BISECTIONS = 50
# float64 values in one temporary. The bootstrap's products are kept so small that BLAS computes
# them on one thread: on a busy machine waiting for the other threads costs many times the work.
_CHUNK = 1_000_000
_BOOTSTRAP_CHUNK = 16_000


def mean_interval(differences: Floats, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Interval of the mean: the inverted sign-flip test, widened by the bootstrap-t.

    Every mean that the sign-flip test (``statistics.sign_flip_p``) does not reject at ``alpha``
    lies inside, so that an interval without zero never stands beside a p-value above alpha. Where
    the differences are not symmetric that alone covers too little (84 % of lognormal differences
    at 8 pairs), so the interval is the hull with the equal-tailed bootstrap-t (Efron 1981), both
    ends of which are made at ``SKEWED_SHARE`` of alpha where the sample is skewed.

    Coverage of a nominal 95 %, in percent (simulated, 2,500 samples each; the tests measure it
    again); half ties: samples of which 6 pairs or more differ, as fewer get no interval:

        pairs                          6     8    12    16    20
        normal                        98    98    97    97    97
        Student t, 3 degrees          98    97    97    97    97
        exponential                   96    96    97    98    98
        lognormal (sigma 1)           93    94    96    97    97
        difference of two lognormals  99    98    97    97    97
        half ties at zero              -    98    97    97    96
        accuracies of 360 examples    98    97    96    97    97
        one run in ten fails (-20 sd) 58    60    74    81    88

    The last line is what no method can cover (see the module). Lognormal at 6 and 8 pairs: 93.1
    and 93.6 % of 12,000 samples. The inversion of a test with 2^n outcomes is conservative at few
    pairs.

    differences: [G, n], finite. Returns (low [G], high [G]); (-inf, inf) where no outcome of n
    pairs could be rejected at ``alpha``.
    """
    low, high = flip_interval(differences, alpha)
    if differences.shape[1] < 2 or not np.isfinite(low).any():
        return low, high
    other_low, other_high = bootstrap_t(differences, alpha)
    return np.minimum(low, other_low), np.maximum(high, other_high)


def flip_interval(differences: Floats, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Every mean that the sign-flip test does not reject: [G, n] -> (low [G], high [G]).

    Flipping the subset F of the differences less theta gives a sum as large as the observed one if
    and only if the mean of F is at most theta, so the ends are order statistics of the means of the
    subsets (Hartigan 1969, JASA 64:1303). A flip and its mirror image are one.
    """
    groups, pairs = differences.shape
    if pairs == 0 or 2.0 / 2.0**pairs > alpha:
        return np.full(groups, -np.inf), np.full(groups, np.inf)
    if _LISTED < pairs <= EXACT_PAIRS:
        return _bisected(differences, alpha)
    if pairs <= _LISTED:
        number = np.arange(1, 2 ** (pairs - 1))
        flipped = (number >> np.arange(pairs)[:, None] & 1).astype(float)  # [n, patterns]
    else:
        flipped = (random_signs(pairs) < 0).astype(float)
    patterns = flipped.shape[1]
    size = flipped.sum(axis=0)
    index = math.floor(alpha * (patterns + 1) + 1e-9) - 1
    low, high = np.empty(groups), np.empty(groups)
    for part in chunks(groups, patterns, _CHUNK):
        inside = differences[part] @ flipped
        outside = differences[part].sum(axis=1, keepdims=True) - inside
        with np.errstate(divide="ignore", invalid="ignore"):
            inside, outside = inside / size, outside / (pairs - size)
        inside = np.where(size > 0, inside, outside)
        outside = np.where(size < pairs, outside, inside)
        low[part] = np.partition(np.minimum(inside, outside), index, axis=1)[:, index]
        high[part] = np.partition(np.maximum(inside, outside), patterns - 1 - index, axis=1)[
            :, patterns - 1 - index
        ]
    return low, high


def _bisected(differences: Floats, alpha: float) -> tuple[Floats, Floats]:
    """``flip_interval`` by bisection of the exact p-value, for numbers of pairs in between."""
    mean = differences.mean(axis=1)
    ends = []
    for outer in (differences.min(axis=1), differences.max(axis=1)):
        rejected, kept = outer.copy(), mean.copy()
        for _ in range(_BISECTIONS):
            middle = (rejected + kept) / 2
            inside = sign_flip_p(differences - middle[:, None]) > alpha
            kept, rejected = np.where(inside, middle, kept), np.where(inside, rejected, middle)
        ends.append(kept)
    return ends[0], ends[1]


def skewness(differences: Floats) -> Floats:
    """|m3 / m2^1.5| of each row; zero where there is no spread. [G, n] -> [G]."""
    centred = differences - differences.mean(axis=1, keepdims=True)
    second = (centred**2).mean(axis=1)
    size = (differences**2).mean(axis=1)
    spread = second > 1e-24 * size
    third = np.abs((centred**3).mean(axis=1))
    return np.divide(third, second**1.5, out=np.zeros_like(third), where=spread)


def bootstrap_t(differences: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Equal-tailed bootstrap-t interval of the mean, at a share of alpha for skewed rows.

    mean - q s/sqrt(n) with q the upper and the lower quantile of (mean* - mean)/(s*/sqrt(n)).
    Where so many resamples have no spread that q is infinite it is Student's t.
    """
    groups, pairs = differences.shape
    mean = differences.mean(axis=1)
    error = differences.std(axis=1, ddof=1) / math.sqrt(pairs)
    weights = _bootstrap_weights(pairs)
    skewed = skewness(differences) > SKEWED
    levels = (alpha, alpha * SKEWED_SHARE)
    indices = [max(math.floor(level / 2 * (RESAMPLES + 1)) - 1, 0) for level in levels]
    students = [float(_student(pairs, level)) for level in levels]
    order = sorted({*indices, *(RESAMPLES - 1 - index for index in indices)})
    low, high = np.empty(groups), np.empty(groups)
    for part in chunks(groups, RESAMPLES, _BOOTSTRAP_CHUNK):
        t = np.partition(_studentized(differences[part] - mean[part, None], weights), order, axis=1)
        for rows, index, student in zip((~skewed, skewed), indices, students, strict=True):
            chosen = np.flatnonzero(rows[part]) + (part.start or 0)
            if not len(chosen):
                continue
            within = chosen - (part.start or 0)
            lower, upper = t[within, index], t[within, RESAMPLES - 1 - index]
            lower = np.where(np.isfinite(lower), lower, -student)
            upper = np.where(np.isfinite(upper), upper, student)
            low[chosen] = mean[chosen] - upper * error[chosen]
            high[chosen] = mean[chosen] - lower * error[chosen]
    return low, high


@functools.lru_cache(maxsize=1)  # for the next metric
def _bootstrap_weights(pairs: int) -> Floats:
    """How often each pair is in each resample, over n. Returns [n, RESAMPLES]."""
    draw = stream(0, "bootstrap", pairs)
    return draw.multinomial(pairs, np.full(pairs, 1 / pairs), size=RESAMPLES).T / pairs


def _studentized(centred: Floats, weights: Floats) -> Floats:
    """t* of every resample, infinite without spread. [G, n], mean zero -> [G, RESAMPLES]."""
    squared = centred**2
    shift = centred @ weights
    variance = squared @ weights
    variance -= shift**2
    flat = variance <= 1e-12 * squared.mean(axis=1, keepdims=True)
    variance[flat] = 0.0
    shift[flat & (shift**2 <= 1e-12 * squared.mean(axis=1, keepdims=True))] = 0.0
    # s*^2 has n - 1 below, the weighted variance n; s*/sqrt(n) is sqrt(variance / (n - 1)).
    with np.errstate(divide="ignore", invalid="ignore"):
        t = shift * math.sqrt(centred.shape[1] - 1) / np.sqrt(variance)
    t[np.isnan(t)] = 0.0  # no spread, and no shift either
    return t


def student_interval(differences: Floats, alpha: float) -> tuple[Floats, Floats]:
    """Student's interval of the mean, at a share of alpha for skewed rows. [G, n] -> 2 x [G].

    It is finite at any alpha, where the inverted test is not: for the many pairs of a best set.
    """
    pairs = differences.shape[1]
    mean = differences.mean(axis=1)
    error = differences.std(axis=1, ddof=1) / math.sqrt(pairs)
    level = np.where(skewness(differences) > SKEWED, alpha * SKEWED_SHARE, alpha)
    reach = _student(pairs, level) * error
    return mean - reach, mean + reach


def _student(pairs: int, level: float | Floats) -> Floats:
    """Student's t, at ``pairs`` - 1 degrees, that half of ``level`` exceeds on either side."""
    from scipy.special import stdtrit  # slow to import, and not needed where seeds are too few

    return np.asarray(stdtrit(pairs - 1, 1 - np.asarray(level) / 2))


def walsh_averages(differences: Floats) -> Floats:
    """(d_i + d_j)/2 for i <= j, sorted; NaN, last, where a miss on either side cancels.

    [G, n] -> [G, n (n + 1)/2].
    """
    first, second = np.triu_indices(differences.shape[1])
    with np.errstate(invalid="ignore"):
        averages = (differences[:, first] + differences[:, second]) / 2
    return np.sort(averages, axis=1)


def shift(differences: Floats) -> Floats:
    """Hodges-Lehmann estimate: the median of the Walsh averages. Infinite where misses decide it.

    Hodges & Lehmann 1963, Ann. Math. Stat. 34:598. A miss under one norm is an infinite difference,
    under both zero. differences: [G, n] without NaN; returns [G], NaN where n is 0.
    """
    if differences.shape[1] == 0:
        return np.full(len(differences), np.nan)
    averages = walsh_averages(differences)
    known = (~np.isnan(averages)).sum(axis=1)
    row = np.arange(len(averages))
    last = averages.shape[1] - 1
    middle = [averages[row, np.clip(index, 0, last)] for index in ((known - 1) // 2, known // 2)]
    with np.errstate(invalid="ignore"):
        value = np.where(middle[0] == middle[1], middle[0], (middle[0] + middle[1]) / 2)
    value[known == 0] = 0.0
    return np.where(np.isnan(value), 0.0, value)  # as many misses on either side


def shift_interval(differences: Floats, alpha: float = 0.05) -> tuple[Floats, Floats]:
    """Every shift that the exact signed-rank test does not reject: [G, n] -> (low, high).

    The test changes only at Walsh averages, so it is bisected over them and the gaps between them.
    An end is infinite where the misses leave it open, and both are where no outcome of n pairs
    could be rejected.
    """
    groups, pairs = differences.shape
    if pairs == 0 or 2.0 / 2.0**pairs > alpha:
        return np.full(groups, -np.inf), np.full(groups, np.inf)
    averages = walsh_averages(differences)
    finite = np.isfinite(averages)
    count = finite.sum(axis=1)
    # Finite averages to the front, in order: [G, M].
    front = np.take_along_axis(averages, np.argsort(~finite, axis=1, kind="stable"), axis=1)
    estimate = shift(differences)
    row = np.arange(groups)

    def candidate(index: NDArray[np.int64]) -> Floats:
        """Even places are gaps, odd ones averages: gap 0, average 0, gap 1, ..."""
        left = front[row, np.clip((index - 1) // 2, 0, np.maximum(count - 1, 0))]
        right = front[row, np.clip(index // 2, 0, np.maximum(count - 1, 0))]
        value = (left + right) / 2
        value = np.where(index <= 0, front[row, 0] - 1.0, value)
        return np.where(index >= 2 * count, left + 1.0, value)

    def kept(index: NDArray[np.int64]) -> NDArray[np.bool_]:
        value = np.where(count > 0, candidate(index), 0.0)
        return sign_flip_p(signed_ranks(differences - value[:, None])) > alpha

    below = (front < estimate[:, None]) & (np.arange(front.shape[1]) < count[:, None])
    start = np.clip(2 * below.sum(axis=1) + (count > 0), 0, 2 * count)
    ends = []
    for last in (np.zeros(groups, dtype=np.int64), 2 * count):
        inside, outside = start.copy(), last.copy()
        open_end = kept(last)
        inside = np.where(open_end, last, inside)
        while (np.abs(inside - outside) > 1).any():
            middle = (inside + outside) // 2
            stays = kept(middle)
            inside, outside = np.where(stays, middle, inside), np.where(stays, outside, middle)
        ends.append((inside, open_end))
    (low, low_open), (high, high_open) = ends
    at = np.maximum(count - 1, 0)
    low_value = front[row, np.clip(np.where(low % 2, (low - 1) // 2, low // 2 - 1), 0, at)]
    high_value = front[row, np.clip(np.where(high % 2, (high - 1) // 2, high // 2), 0, at)]
    return (
        np.where(low_open | (count == 0), -np.inf, low_value),
        np.where(high_open | (count == 0), np.inf, high_value),
    )
