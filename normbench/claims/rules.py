"""When a statement counts as supported: pure functions of the evidence, one a kind of evidence.

Every rule rests on parts that are True (the evidence says so), False (it says the opposite) or
None (it says neither: too few seeds, no evidence of a difference, or nothing to measure).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from normbench.analysis.comparison import BETTER, NO_EVIDENCE, WORSE

Part = bool | None
Parts = Mapping[str, Part]


class Verdict(StrEnum):
    """What the evidence says of a statement."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    DEPENDS = "depends"
    NOT_ENOUGH = "not enough evidence"


def combine(parts: Parts) -> Verdict:
    """Every part holds: supported; every part fails: refuted; some hold and some fail: depends.

    A part that is open (None) leaves the statement open, unless the others disagree already.
    """
    values = list(parts.values())
    if True in values and False in values:
        return Verdict.DEPENDS
    if not values or None in values:
        return Verdict.NOT_ENOUGH
    return Verdict.SUPPORTED if values[0] else Verdict.REFUTED


def settled(parts: Sequence[Part]) -> dict[str, Part]:
    """Of one part seen in several situations those that were decided; one open part if none was.

    Where everything fails, or everything works, a situation has nothing to say of a difference.
    """
    return {str(place): part for place, part in enumerate(parts) if part is not None} or {
        "open": None
    }


def part_of(word: str) -> Part:
    """A verdict word of a paired comparison as a part: better True, worse False, others None."""
    return {BETTER: True, WORSE: False}.get(word)


def best_part(words: Iterable[str]) -> Part:
    """Whether any of several norms is better than the baseline; False if one is worse and none is
    better."""
    parts = [part_of(word) for word in words]
    return True if True in parts else False if False in parts else None


def more(value: float, other: float) -> Part:
    """Whether ``value`` is the larger one; NaN counts as none at all (less than any number)."""
    value, other = (-math.inf if math.isnan(number) else number for number in (value, other))
    return None if value == other else value > other


VARIES = 2.0
"""Standard deviations that differ by this factor between layers count as varying."""


def varies(stds: Sequence[float]) -> Part:
    """Whether standard deviations by layer [L] differ by a factor of ``VARIES``; zero varies."""
    if not stds or any(math.isnan(value) for value in stds):
        return None
    return min(stds) == 0 or max(stds) >= VARIES * min(stds)


MOMENT_TOLERANCE = 1e-3
"""Rounding in float32, with room to spare, beside what eps does by its formula."""
VARIANCE_TOLERANCE = 1e-2


class Moments(NamedTuple):
    """Largest over features and layers: |mean|, |var - 1|, and |var - s2 / (s2 + eps)|, where s2
    is the variance of the layer's input."""

    mean: float
    variance: float
    beyond_eps: float


def moments(found: Moments) -> Verdict:
    """Mean 0 and variance 1: refuted if they are off by more than rounding and eps.

    Depends if eps, against a feature of small variance, keeps a variance from 1 by 1 % or more.
    """
    if not all(map(math.isfinite, found)):
        return Verdict.NOT_ENOUGH
    if found.mean > MOMENT_TOLERANCE or found.beyond_eps > MOMENT_TOLERANCE:
        return Verdict.REFUTED
    return Verdict.SUPPORTED if found.variance < VARIANCE_TOLERANCE else Verdict.DEPENDS


ROBUST_SHARE = 1 / 4
"""Robust means: no evidence of a loss down to this share of the config's batch size."""


def smallest_size(words: Mapping[int, str], reference: int) -> int | None:
    """The smallest batch size such that it and every larger one below the reference show no loss.

    words: size -> verdict word against the reference. A size with too few seeds ends the search;
    the reference itself if the next one loses already, None if nothing could be said.
    """
    smallest = None
    for size in sorted((size for size in words if size < reference), reverse=True):
        if words[size] == WORSE:
            return smallest or reference
        if words[size] not in (BETTER, NO_EVIDENCE):
            return smallest
        smallest = size
    return smallest


def batch_sizes(
    words: Mapping[int, str], control: Mapping[int, str], reference: int, *, trained: bool = True
) -> dict[str, Part]:
    """Parts of "depends on the batch size but is robust".

    depends: batch norm loses at a size at which the control (an example's own norm) does not;
    False if it loses only where the control loses as well, None if it loses nowhere.
    robust: no loss down to a quarter of the reference; None if it is lost in between.
    trained: whether batch norm trains at the reference at all; what it does not have it cannot
    lose, and both parts are open.
    """
    if not trained:
        return {"depends": None, "robust": None}
    lost = {size for size, word in words.items() if word == WORSE and size < reference}
    own = {size for size in lost if control.get(size) != WORSE}
    holds = smallest_size(words, reference)
    robust: Part = None
    if holds is not None and (holds <= reference * ROBUST_SHARE or not lost):
        robust = True
    elif holds == reference:
        robust = False
    return {"depends": bool(own) if lost else None, "robust": robust}


UNCHANGED, CHANGED = 1e-4, 1e-2
"""Relative changes of an output: below the first nothing but rounding, above the second visible."""


def unchanged(change: float) -> Part:
    """Whether an output stayed the same; None between rounding and a visible change."""
    return True if change < UNCHANGED else False if change > CHANGED else None


def independent(layer: Sequence[float], batch: Sequence[float]) -> Verdict:
    """Layer norm's output for one example stays when the rest of the batch changes.

    layer, batch: relative changes, in the layer and in the network. Batch norm is the control: if
    it does not change visibly the measurement could not have shown a dependence.
    """
    if any(unchanged(change) is not False for change in batch):
        return Verdict.NOT_ENOUGH
    return combine({str(place): unchanged(change) for place, change in enumerate(layer)})


def invariant(measured: Mapping[str, float], theory: Mapping[str, bool]) -> Verdict:
    """Whether a norm's invariances are those of theory. measured: relative changes.

    Refuted if one that should hold visibly fails, or one that should fail holds; not enough
    evidence if a change lies between rounding and visible.
    """
    found = {name: unchanged(measured[name]) for name in theory}
    if any(part is not None and part != theory[name] for name, part in found.items()):
        return Verdict.REFUTED
    return Verdict.NOT_ENOUGH if None in found.values() else Verdict.SUPPORTED


def trains(accuracy: float, chance: float, target: float) -> bool:
    """Whether a mean validation accuracy is at least halfway from chance to the target."""
    return accuracy >= (chance + target) / 2


class Timing(NamedTuple):
    """Median and interquartile range of forward and backward, in seconds."""

    seconds: float
    iqr: float


def faster(value: Timing, other: Timing) -> bool:
    """Whether ``value`` is faster by more than both medians scatter (half the two ranges)."""
    return value.seconds + (value.iqr + other.iqr) / 2 < other.seconds


def computation(
    operations: tuple[int, int], timings: Mapping[str, tuple[Timing, Timing]]
) -> Verdict:
    """RMS norm needs less than layer norm; each pair is (RMS norm, layer norm).

    No fewer operations: refuted. Fewer, and faster in every mode that could be timed: supported;
    fewer, but not faster in some: depends.
    """
    if operations[0] >= operations[1]:
        return Verdict.REFUTED
    if not timings:
        return Verdict.NOT_ENOUGH
    quick = all(faster(*pair) for pair in timings.values())
    return Verdict.SUPPORTED if quick else Verdict.DEPENDS


class Duel(NamedTuple):
    """A paired comparison of two norms in one situation; word is that of ``first``."""

    situation: str
    first: str
    second: str
    word: str


def winners(duels: Sequence[Duel]) -> list[tuple[str, str, str]]:
    """(situation, winner, loser) of every duel that was decided."""
    decided = []
    for situation, first, second, word in duels:
        if part_of(word) is not None:
            pair = (first, second) if word == BETTER else (second, first)
            decided.append((situation, *pair))
    return decided


def reversals(duels: Sequence[Duel]) -> list[tuple[str, str, str, str]]:
    """(winner, loser, situation, situation in which it is the other way round), each pair once."""
    first: dict[tuple[str, str], str] = {}
    for situation, winner, loser in winners(duels):
        first.setdefault((winner, loser), situation)
    return [
        (winner, loser, situation, first[loser, winner])
        for (winner, loser), situation in first.items()
        if (loser, winner) in first and winner < loser
    ]


def favourites(duels: Sequence[Duel]) -> list[str]:
    """Norms that beat another one and are beaten by none, in these situations together."""
    decided = winners(duels)
    losers = {loser for _, _, loser in decided}
    return [w for w in dict.fromkeys(winner for _, winner, _ in decided) if w not in losers]


def choice(duels: Sequence[Duel]) -> Verdict:
    """The best choice depends on the model.

    Supported if two norms change places between two situations, each time beyond doubt. Refuted if
    one norm is beaten nowhere and beats every other one somewhere. Otherwise open.
    """
    if reversals(duels):
        return Verdict.SUPPORTED
    norms = {norm for duel in duels for norm in (duel.first, duel.second)}
    decided = winners(duels)
    for norm in favourites(duels):
        if {loser for _, winner, loser in decided if winner == norm} == norms - {norm}:
            return Verdict.REFUTED
    return Verdict.NOT_ENOUGH
