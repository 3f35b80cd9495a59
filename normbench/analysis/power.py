"""What a number of seeds can find: the power of the paired sign-flip test under Holm.

Without scipy, so that ``validate`` may ask.
"""

from __future__ import annotations


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
    """Probability that a true effect, in sd of the paired difference, comes out significant."""
    raise NotImplementedError


def detectable_effect(
    pairs: int, comparisons: int, alpha: float = 0.05, power: float = 0.8
) -> float:
    """The smallest effect found with ``power``, in sd of the paired difference; inf below the
    floor."""
    raise NotImplementedError


def seeds_for(
    effect_sd: float, comparisons: int, alpha: float = 0.05, power: float = 0.8
) -> int:
    """The fewest pairs that find an effect (sd of the paired difference) with ``power``."""
    raise NotImplementedError
