"""Seeds in steps: looks fixed beforehand, and what each of them decides."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from normbench.analysis.rule import VerdictRule


@dataclass(frozen=True)
class Looks:
    """A design fixed beforehand.

    seeds: how many seeds a norm that still races has at each look, ascending.
    alpha: what each look may spend; they sum to at most the experiment's alpha.
    """

    seeds: tuple[int, ...]
    alpha: tuple[float, ...]


@dataclass(frozen=True)
class Race:
    """Where a sequential comparison stands at one sweep point.

    look: index of the last look whose data are complete; -1 before the first.
    racing: norms that may still be best, in the order given.
    need: norm -> seeds it should have before the next look, or has for good.
    ended: "" while it goes on, else "one left", "similar" or "at the last look".
    """

    look: int
    racing: tuple[str, ...]
    need: dict[str, int]
    ended: str


def sequential(start: int, to: int, step: int, alpha: float = 0.05) -> Looks:
    """Looks after ``start`` seeds, then after every ``step`` more, the last one at ``to``."""
    raise NotImplementedError


def fixed(seeds: int, alpha: float = 0.05) -> Looks:
    """One look."""
    return Looks((seeds,), (alpha,))


def race(
    outcome: pd.DataFrame,
    norms: Sequence[str],
    rule: VerdictRule,
    looks: Looks,
    order: Sequence[int],
) -> Race:
    """Replay the looks over the outcomes of one sweep point and target.

    order: the seeds in the order in which they are trained.
    """
    raise NotImplementedError
