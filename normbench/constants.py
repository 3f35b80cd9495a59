"""What the store, the tables and the command line agree on, without an import of one another."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

RESULTS = Path("results")
"""The results folder unless another is named."""

SCHEMA = 1
"""Of everything written: the store's files and what ``--json`` prints."""

OUTCOME_STATES = ("finished", "diverged")
"""The states in which a run has a result. The others are counted and shown, and never stand in for
a result."""

UNFINISHED_STATES = ("interrupted", "running", "missing", "damaged")
"""The states of a run that ``train`` would begin or continue, besides failed ones."""

STATES = (*OUTCOME_STATES, "failed", *UNFINISHED_STATES)

HALVING_LEFT = 2
"""How many values of a tuned key a search by halving leaves to each norm: both of them race."""

ASKED_FOR = "asked for"
NEVER_CALLED = "the forward pass never calls it"
"""Why a norm of a network stays as it is."""


@dataclass(frozen=True)
class Rung:
    """How many values are still in, and on how many tuning seeds each of them is tried."""

    values: int
    seeds: int


def rungs(values: int, seeds: int) -> tuple[Rung, ...]:
    """The rungs for a grid of so many values: half of them go at each, until two are left.

    seeds: at the last rung; each rung before it has half as many, rounded up. Seven values and four
    seeds: 7 on 2 seeds, 4 on 4, which is 22 runs a norm instead of 28.
    """
    if values < 1 or seeds < 1:
        raise ValueError(f"needs a value and a seed, got {values} and {seeds}")
    sizes = [values]
    while -(-sizes[-1] // 2) > HALVING_LEFT:
        sizes.append(-(-sizes[-1] // 2))
    counts = [seeds]
    for _ in sizes[1:]:
        counts.append(-(-counts[-1] // 2))
    return tuple(Rung(*pair) for pair in zip(sizes, reversed(counts), strict=True))


def contender(norm: str, value: float) -> str:
    """What a norm is called at one of the values at which it races."""
    return f"{norm} at {value:g}"
