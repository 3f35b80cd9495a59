"""When a statement counts as supported: pure functions of what was found of its parts.

A statement has parts ("stabilizes", "speeds up"), and each is seen in several situations (under an
initialization, at a rate, at a depth). A ``Piece`` is one part in one situation: it holds (True),
it does not (False), or the evidence leaves it open (None).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple

Part = bool | None


class Verdict(StrEnum):
    """What the evidence says of a statement."""

    SUPPORTED = "supported"
    REFUTED = "refuted"
    DEPENDS = "depends"
    NOT_ENOUGH = "not enough evidence"


@dataclass(frozen=True)
class Piece:
    """One part of a statement in one situation.

    situation: factor -> value, such as init -> he_normal. why: the numbers in a few words;
    numbers: the same for JSON.
    """

    part: str
    situation: Mapping[str, Any]
    holds: Part
    why: str = ""
    numbers: Mapping[str, Any] = field(default_factory=dict)

    def value(self, factor: str) -> Any:
        """The part, or the value of a factor; None where the situation does not name it."""
        return self.part if factor == PART else self.situation.get(factor)

    def where(self, leave: Iterable[str] = ()) -> str:
        """The situation in words."""
        return ", ".join(
            named(key, value) for key, value in self.situation.items() if key not in leave
        )


PART = "part"
"""The factor that tells the parts of a statement apart."""


def named(factor: str, value: Any) -> str:
    """A factor's value in words: a name speaks for itself, a number needs its factor."""
    plain = isinstance(value, str) or value is None
    return f"{value}" if plain else f"{factor} {value}"


FEW = 3
"""As many decided and open pieces are all named; of more only those that are open."""


@dataclass(frozen=True)
class Judgement:
    """A verdict with the pieces it rests on. depends_on: the factors that tell where the statement
    holds from where it does not; empty unless the verdict is ``depends``."""

    verdict: Verdict
    pieces: tuple[Piece, ...]
    depends_on: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """On what the statement depends, which parts are decided beside which are open, and the
        situation that the verdict is for."""
        texts = []
        if self.verdict is Verdict.DEPENDS:
            texts = [_depends(self), *_remains(self)]
        elif any(piece.holds is not None for piece in self.pieces):
            several = len({tuple(piece.situation.items()) for piece in self.pieces})
            if self.verdict is Verdict.NOT_ENOUGH:
                decided = [piece.holds for piece in self.pieces if piece.holds is not None]
                word = "holds" if decided[0] else "fails"
                where = f" in {len(decided)} of {len(self.pieces)}"
                if len(self.pieces) <= FEW:
                    where = f": {_listed(self.pieces, decided[0])}"
                texts = [word + where, *_remains(self)]
            elif several > 1:
                texts = [f"in all {several} situations"]
        if fixed := self.fixed:
            texts.append("at " + ", ".join(named(*pair) for pair in fixed.items()))
        return "; ".join(texts)

    @property
    def fixed(self) -> dict[str, Any]:
        """The factors that were the same in every piece: the situation that the verdict is for."""
        first = self.pieces[0].situation if self.pieces else {}
        return {
            key: value
            for key, value in first.items()
            if all(piece.situation.get(key) == value for piece in self.pieces)
        }


def judge(pieces: Sequence[Piece]) -> Judgement:
    """All pieces hold: supported; none does: refuted; some do and some do not: depends.

    An open piece leaves the statement open, unless the others disagree already.
    """
    parts = [piece.holds for piece in pieces]
    if True in parts and False in parts:
        decided = [piece for piece in pieces if piece.holds is not None]
        return Judgement(Verdict.DEPENDS, tuple(pieces), separating(decided))
    if not parts or None in parts:
        return Judgement(Verdict.NOT_ENOUGH, tuple(pieces))
    return Judgement(Verdict.SUPPORTED if parts[0] else Verdict.REFUTED, tuple(pieces))


def separating(pieces: Sequence[Piece]) -> tuple[str, ...]:
    """The fewest factors whose values tell the pieces that hold from those that do not.

    Of as many factors, the part first and then in the order of the situations.
    """
    factors = [PART, *dict.fromkeys(key for piece in pieces for key in piece.situation)]
    for count in range(1, len(factors) + 1):
        for chosen in itertools.combinations(factors, count):
            groups: dict[tuple[str, ...], set[Part]] = {}
            for piece in pieces:
                values = tuple(repr(piece.value(factor)) for factor in chosen)
                groups.setdefault(values, set()).add(piece.holds)
            if all(len(holds) == 1 for holds in groups.values()):
                return chosen
    return tuple(factors)


def _depends(judgement: Judgement) -> str:
    factors = judgement.depends_on
    on = " and ".join("which part of it" if factor == PART else factor for factor in factors)
    sides = (
        f"{word} {_side(judgement, part)}" for part, word in ((True, "holds"), (False, "fails"))
    )
    return f"on {on}: {'; '.join(sides)}"


def _side(judgement: Judgement, part: Part) -> str:
    """Where the statement holds, or fails: the values of the factors that it depends on, under
    their part where that is one of them; a part that is the same everywhere stands alone."""
    by_part: dict[str, dict[str, None]] = {}
    factors = [factor for factor in judgement.depends_on if factor != PART]
    for piece in judgement.pieces:
        if piece.holds is part:
            values = [named(key, value) for key in factors if (value := piece.value(key))]
            by_part.setdefault(piece.part, {})[" ".join(values)] = None
    texts: dict[str, None] = {}
    for name, situations in by_part.items():
        where = " | ".join(filter(None, situations))
        alike = all(piece.holds is part for piece in judgement.pieces if piece.part == name)
        if PART in judgement.depends_on:
            texts[name if alike or not where else f"{name} ({where})"] = None
        else:
            texts |= dict.fromkeys(situation or name for situation in situations)
    return ", ".join(texts) or "nowhere"


def _remains(judgement: Judgement) -> list[str]:
    if not any(piece.holds is None for piece in judgement.pieces):
        return []
    return [f"open: {_listed(judgement.pieces, None)}"]


def _listed(pieces: Sequence[Piece], part: Part) -> str:
    """The pieces of one kind: each part with its situations, less what all pieces share."""
    fixed = judge(pieces).fixed if pieces else {}
    several = len({piece.part for piece in pieces}) > 1
    by_part: dict[str, list[str]] = {}
    for piece in pieces:
        if piece.holds is part:
            by_part.setdefault(piece.part, []).append(piece.where(fixed))
    texts = []
    for name, situations in by_part.items():
        where = " | ".join(situation for situation in dict.fromkeys(situations) if situation)
        texts.append((f"{name} ({where})" if where else name) if several or not where else where)
    return ", ".join(texts)


# -- rules of the measurements without training ---------------------------------------------------

VARIES = 2.0
"""Standard deviations that differ by this factor between layers count as varying."""


def varies(stds: Sequence[float]) -> Part:
    """Whether standard deviations by layer [L] differ by a factor of ``VARIES``; zero varies."""
    if not len(stds) or any(math.isnan(value) for value in stds):
        return None
    return min(stds) == 0 or max(stds) >= VARIES * min(stds)


def below(low: float, high: float, border: float) -> Part:
    """Whether a quantity is below a border, by its interval; open where the interval holds it."""
    if math.isnan(low) or math.isnan(high):
        return None
    return True if high < border else False if low >= border else None


MOMENT_TOLERANCE = 1e-3
"""Rounding in float32, with room to spare, beside what eps does by its formula."""
VARIANCE_TOLERANCE = 1e-2


class Moments(NamedTuple):
    """Largest over features and layers: |mean|, |var - 1|, and |var - s2 / (s2 + eps)|, where s2
    is the variance of the layer's input."""

    mean: float
    variance: float
    beyond_eps: float


def zero_mean(moments: Moments) -> Part:
    """Mean 0 but for rounding."""
    return moments.mean < MOMENT_TOLERANCE if math.isfinite(moments.mean) else None


def unit_variance(moments: Moments) -> Part:
    """Variance 1 but for rounding, and for what eps takes from features of small variance by up to
    ``VARIANCE_TOLERANCE``."""
    if not math.isfinite(moments.variance) or not math.isfinite(moments.beyond_eps):
        return None
    return moments.beyond_eps < MOMENT_TOLERANCE and moments.variance < VARIANCE_TOLERANCE


UNCHANGED, CHANGED = 1e-4, 1e-2
"""Relative changes of an output: below the first nothing but rounding, above the second visible."""


def unchanged(change: float) -> Part:
    """Whether an output stayed the same; None between rounding and a visible change."""
    return True if change < UNCHANGED else False if change > CHANGED else None


def seen_by(change: float, control: float) -> Part:
    """``unchanged``, open where the control did not change visibly: the measurement was blind."""
    return unchanged(change) if unchanged(control) is False else None


class Timing(NamedTuple):
    """Median and interquartile range of forward and backward, in seconds."""

    seconds: float
    iqr: float


def faster(value: Timing, other: Timing) -> Part:
    """Whether ``value`` is faster by more than both medians scatter (half the two ranges); False
    where it is slower by as much, open in between."""
    scatter = (value.iqr + other.iqr) / 2
    gap = other.seconds - value.seconds
    return True if gap > scatter else False if gap < -scatter else None
