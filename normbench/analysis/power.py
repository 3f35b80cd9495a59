"""What a number of seeds can find: the power of the paired sign-flip test under Holm.

Without scipy, so that ``validate`` may ask.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

FIRST_LOOK, LAST_LOOK = 0.65, 0.2
"""Shares of alpha for pairs with a baseline that end at the first look and at the last. At 8 seeds
p is at least 0.0078: with 0.65 four norms can still be told from a baseline that left there."""


def look_seeds(start: int, to: int, step: int) -> tuple[int, ...]:
    """Seeds at each look: after ``start``, then after every ``step`` more, the last at ``to``."""
    return tuple(dict.fromkeys([*range(start, to, step), to]))


def share_of_look(pairs: int, looks: Sequence[int]) -> float:
    """The share of alpha at which a pair is judged that ended after so many seeds.

    looks: the numbers of seeds at which a norm can end. The results choose the one at which it
    does, so the looks divide alpha among them: ``FIRST_LOOK``, ``LAST_LOOK``, and equal parts of
    the rest between; of two, the last has what the first leaves. 1 without looks.
    """
    if len(looks) < 2:
        return 1.0
    if pairs <= looks[0]:
        return FIRST_LOOK
    if len(looks) == 2:
        return 1 - FIRST_LOOK
    return LAST_LOOK if pairs > looks[-2] else (1 - FIRST_LOOK - LAST_LOOK) / (len(looks) - 2)


def needed_seeds(comparisons: int, alpha: float = 0.05) -> int:
    """The fewest pairs with which any of ``comparisons`` norms can come out different.

    With n pairs the smallest two-sided sign-flip p is 2/2^n, and Holm multiplies the smallest of m
    by m: the least n with m * 2/2^n <= alpha. 6 for one comparison, 7 for two or three, 8 for four
    to six. A floor, no advice: see ``detectable_effect``.
    """
    if comparisons < 1 or not 0 < alpha < 1:
        raise ValueError("needs at least one comparison and 0 < alpha < 1")
    pairs = 1
    while comparisons * 2.0 / 2.0**pairs > alpha:
        pairs += 1
    return pairs


def power_at(effect_sd: float, pairs: int, comparisons: int, alpha: float = 0.05) -> float:
    """Probability that a true effect comes out significant against Holm's first step.

    effect_sd: mean of the paired difference in its standard deviations, normal. At the floor, where
    only differences of one sign are significant, exact; above it the power of Student's t at the
    level that the test can hold, the largest multiple of 2/2^n up to alpha / comparisons. By
    simulation within 3 points where the power is below 0.5 or there are 3 pairs more than the
    floor, and up to 7 points too high at 1 or 2 pairs above it. Zero below the floor. One
    comparison of three, 1 sd: 30 % at 7 pairs, 43 % at 8 (simulated 40 %), 73 % at 12 (71 %),
    96 % at 20.
    """
    level = _level(pairs, comparisons, alpha)
    if level <= 0 or effect_sd == 0:
        return level
    if level * 2.0 ** (pairs - 1) < 1.5:
        positive = math.erfc(-effect_sd / math.sqrt(2)) / 2
        return positive**pairs + (1 - positive) ** pairs
    return _beyond(abs(effect_sd) * math.sqrt(pairs), _quantile(level, pairs - 1), pairs - 1)


@functools.lru_cache(maxsize=1024)
def detectable_effect(
    pairs: int, comparisons: int, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest effect found with ``power``, in sd of the paired difference; inf below the
    floor."""
    if _level(pairs, comparisons, alpha) <= 0:
        return math.inf
    return _bisect(lambda effect: power_at(effect, pairs, comparisons, alpha) < power, 0.0, 64.0)


def seeds_for(effect_sd: float, comparisons: int, alpha: float = 0.05, power: float = 0.8) -> int:
    """The fewest pairs that find an effect (sd of the paired difference) with ``power``.

    Raises ValueError for an effect of zero, which no number of seeds finds, and OverflowError where
    more than a million would be needed.
    """
    if not effect_sd:
        raise ValueError("no number of seeds finds an effect of zero")
    most = needed_seeds(comparisons, alpha)
    least = most - 1
    while power_at(effect_sd, most, comparisons, alpha) < power:
        least, most = most, most * 2
        if most > 1_000_000:
            raise OverflowError("more than a million seeds")
    while most - least > 1:
        middle = (least + most) // 2
        enough = power_at(effect_sd, middle, comparisons, alpha) >= power
        least, most = (least, middle) if enough else (middle, most)
    return most


def _level(pairs: int, comparisons: int, alpha: float) -> float:
    """The largest p-value of the sign-flip test that is at most alpha / comparisons; 0 if none."""
    if pairs < 2:
        return 0.0
    if pairs > 40:
        return alpha / comparisons
    return math.floor(alpha / comparisons * 2.0 ** (pairs - 1) + 1e-9) / 2.0 ** (pairs - 1)


# Nodes of the integral over the spread of a sample: s/sigma is chi / sqrt(df).
_NODES = 201


def _beyond(shift: float, bound: float, freedom: int) -> float:
    """P(|T| >= bound) for the noncentral t with ``shift``: the normal integrated over chi."""
    centre = math.sqrt(max(freedom - 0.5, 0.25))
    lowest = max(centre - 7.0, 1e-9)
    width = (centre + 7.0 - lowest) / (_NODES - 1)
    total = 0.0
    log_norm = (1 - freedom / 2) * math.log(2) - math.lgamma(freedom / 2)
    for node in range(_NODES):
        chi = lowest + node * width
        density = math.exp(log_norm + (freedom - 1) * math.log(chi) - chi * chi / 2)
        reach = bound * chi / math.sqrt(freedom)
        tail = math.erfc((reach - shift) / math.sqrt(2)) + math.erfc((reach + shift) / math.sqrt(2))
        # Simpson's rule.
        weight = 1 if node in (0, _NODES - 1) else 4 if node % 2 else 2
        total += weight * density * tail / 2
    return min(total * width / 3, 1.0)


@functools.lru_cache(maxsize=256)
def _quantile(level: float, freedom: int) -> float:
    """Two-sided quantile of Student's t."""
    high = 2.0
    while _beyond(0.0, high, freedom) > level:
        high *= 2
    return _bisect(lambda bound: _beyond(0.0, bound, freedom) > level, 0.0, high)


def _bisect(below: Callable[[float], bool], low: float, high: float) -> float:
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle) else (low, middle)
    return (low + high) / 2
