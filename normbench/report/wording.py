"""How sentences are put together: lists, plurals, and names that a sentence can bear."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

MOST_LISTED = 8  # seeds or values in a sentence


def quoted(norm: str) -> str:
    """The label as a sentence can bear it: none would read as nobody."""
    return f"“{norm}”" if norm == "none" else norm


def joined(parts: Iterable[str]) -> str:
    """a, b and c."""
    names = list(parts)
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def norms(labels: Iterable[str]) -> str:
    """Norms in a sentence: a, “none” and c."""
    return joined(map(quoted, labels))


def counted(count: float, word: str) -> str:
    """1 seed, 8 seeds."""
    return f"{count:.0f} {word}{'' if count == 1 else 's'}"


def listed(values: Sequence[Any]) -> str:
    """a, b and c, of many the first ones."""
    texts = [str(value) for value in values]
    if len(texts) > MOST_LISTED:
        return f"{', '.join(texts[:MOST_LISTED])} and {len(texts) - MOST_LISTED} more"
    return joined(texts)


def short(key: str) -> str:
    """A config key in a sentence or heading: its last word, model.depth -> depth."""
    return key.rsplit(".", 1)[-1].replace("_", " ")
