"""All paired comparisons behind a statement as one family: Holm, and intervals that hold together.

What is compared comes from several experiments and may be a difference of differences, so a
comparison is given here as its numbers by seed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from normbench.analysis.intervals import mean_interval
from normbench.analysis.power import needed_seeds
from normbench.analysis.rule import BETTER, SIMILAR, TOO_FEW, UNDECIDED, WORSE
from normbench.analysis.statistics import holm, sign_flip_p
from normbench.claims.verdicts import Part, Piece, named
from normbench.report.columns import number

ALPHA = 0.05
TINY = math.nextafter(0, 1)
SAME = 1e-9  # differences that differ by rounding alone

Asks = Literal["more", "no less"]


@dataclass(frozen=True)
class Duel:
    """One question, paired by seed: does ``first`` have more of ``quantity`` than ``second``?

    differences: first less second, one a seed; NaN where a run is missing. A positive one speaks
    for the statement. within: differences smaller than this do not matter. asks: "more" holds
    where first is better beyond doubt, and fails where it is worse or similar; "no less" holds
    where the interval lies above -within, and fails where first is worse beyond doubt. largest: no
    difference can be larger, 1 between two accuracies; neither is the end of an interval.
    """

    part: str
    situation: Mapping[str, Any]
    first: str
    second: str
    quantity: str
    differences: Sequence[float]
    within: float
    asks: Asks = "more"
    largest: float = math.inf


@dataclass(frozen=True)
class Judged:
    """A duel with its numbers. low, high: an interval that covers in all duels of the family
    together; NaN where there is none. word: as in ``analysis.rule``."""

    duel: Duel
    pairs: int
    difference: float
    low: float
    high: float
    p_value: float
    p_adjusted: float
    word: str

    @property
    def holds(self) -> Part:
        """What the duel says of its part."""
        if self.duel.asks == "no less":
            if self.low > -self.duel.within or self.word == BETTER:
                return True
            return False if self.word == WORSE else None
        return {BETTER: True, WORSE: False, SIMILAR: False}.get(self.word)

    @property
    def text(self) -> str:
        """The numbers in a sentence."""
        duel = self.duel
        shown = f"{duel.first} less {duel.second}, {duel.quantity}"
        if not self.pairs:
            return f"{shown}: not measured"
        interval = "no interval"
        if math.isfinite(self.low) and math.isfinite(self.high):
            interval = f"{signed(self.low)} to {signed(self.high)}"
        p = number(self.p_adjusted, 2)
        return f"{shown}: {signed(self.difference)} ({interval}, p {p}): {self.word}"

    @property
    def piece(self) -> Piece:
        """The duel as a piece of its statement."""
        return Piece(self.duel.part, self.duel.situation, self.holds, self.text, self.numbers)

    @property
    def numbers(self) -> dict[str, Any]:
        """The duel for JSON."""
        finite = math.isfinite(self.low) and math.isfinite(self.high)
        return {
            "first": self.duel.first,
            "second": self.duel.second,
            "quantity": self.duel.quantity,
            "pairs": self.pairs,
            "difference": self.difference,
            "ci_low": self.low if finite else math.nan,
            "ci_high": self.high if finite else math.nan,
            "within": self.duel.within,
            "asks": self.duel.asks,
            "differences": list(self.duel.differences),
            "p_value": self.p_value,
            "p_adjusted": self.p_adjusted,
            "verdict": self.word,
        }


def signed(value: float) -> str:
    """0.0123 -> +0.0123, and what is nothing but on one side of it -> 0."""
    if abs(value) <= TINY:
        return "0"
    return ("+" if value > 0 else "-") + number(abs(value), 2)


def judged(duels: Sequence[Duel], alpha: float = ALPHA) -> list[Judged]:
    """The family: Holm over all duels, and Bonferroni's intervals, so that a wrong better or worse
    appears in at most ``alpha`` of such families, and an interval that misses in at most as many.

    Where so many pairs tie, or all differ by one amount, that there is no spread to be sure by,
    there is no interval, and without one nothing is similar.
    """
    count = len(duels)
    known = [np.array([d for d in duel.differences if math.isfinite(d)]) for duel in duels]
    p = np.array([float(sign_flip_p(d[None])[0]) if len(d) else math.nan for d in known])
    adjusted = holm(p, np.asarray(count)) if count else p
    ends = np.full((count, 2), math.nan)
    for pairs in {len(d) for d in known} - {0}:
        rows = [index for index, d in enumerate(known) if len(d) == pairs]
        ends[rows] = np.stack(
            mean_interval(np.stack([known[row] for row in rows]), alpha / count), axis=1
        )
    family = []
    for index, (duel, d) in enumerate(zip(duels, known, strict=True)):
        mean = float(d.mean()) if len(d) else math.nan
        low, high = (float(np.clip(end, -duel.largest, duel.largest)) for end in ends[index])
        if (d != 0).sum() < needed_seeds(1, alpha / count) or np.ptp(d) <= SAME * abs(d).max():
            low = high = math.nan
        # Holm rejects where Bonferroni may not: no interval contradicts its word.
        if adjusted[index] <= alpha:
            low, high = (max(low, TINY), high) if mean > 0 else (low, min(high, -TINY))
        word = _word(d, float(adjusted[index]), low, high, duel.within, count, alpha)
        family.append(
            Judged(duel, len(d), mean, low, high, float(p[index]), float(adjusted[index]), word)
        )
    return family


def _word(
    d: np.ndarray, p: float, low: float, high: float, within: float, count: int, alpha: float
) -> str:
    if p <= alpha:
        return BETTER if d.mean() > 0 else WORSE
    need = needed_seeds(count, alpha)
    if len(d) < need:
        return f"{TOO_FEW} (needs {need})"
    ties = int((d == 0).sum())
    if ties == len(d):
        return f"{UNDECIDED} (all {ties} pairs tie)"
    if -within < low and high < within:
        return SIMILAR
    return f"{UNDECIDED} ({ties} of {len(d)} pairs tie)" if len(d) - ties < need else UNDECIDED


def any_better(part: str, situation: Mapping[str, Any], duels: Sequence[Judged]) -> Piece:
    """A part that holds if any of several duels is better, and fails if every one is worse or
    similar."""
    holds = [duel.holds for duel in duels]
    part_holds = True if True in holds else None if None in holds or not holds else False
    why = "; ".join(duel.text for duel in duels)
    numbers = {"duels": [duel.numbers for duel in duels]}
    return Piece(part, situation, part_holds, why, numbers)


def sentence(piece: Piece) -> str:
    """A piece for the list of evidence."""
    word = {True: "holds", False: "fails", None: "open"}[piece.holds]
    where = ", ".join(named(key, value) for key, value in piece.situation.items())
    return f"{piece.part}{f', {where}' if where else ''}: {word}" + (
        f" ({piece.why})" if piece.why else ""
    )
