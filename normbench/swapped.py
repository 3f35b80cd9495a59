"""How it is written that a layer takes the place of another: ``before -> after``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

Pair = tuple[str | None, str]
"""What stood somewhere, None for a placeholder, and what stands there now, as one writes them."""


def arrow(before: str | None, after: str) -> str:
    """``nn.BatchNorm2d(64) -> nn.GroupNorm(8, 64)``; of a placeholder, what takes its place."""
    return after if before is None else f"{before} -> {after}"


def in_pytorch(pairs: Iterable[Pair]) -> list[str]:
    """``nn.BatchNorm2d(64) -> nn.GroupNorm(8, 64), 5 times``: each pair once, in order."""
    return [
        arrow(*pair) + (f", {count} times" if count > 1 else "")
        for pair, count in Counter(pairs).items()
    ]
