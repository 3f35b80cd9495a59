"""What is in a dataset, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from normbench.plain import shown

if TYPE_CHECKING:
    from normbench.data.facts import Facts

SHOWN_CLASSES = 12
LONGEST = 40  # letters of a class's name

_COLOURS = {1: "grey", 3: "colour"}


def sentences(facts: Facts) -> list[str]:
    """A line each: images and their size, classes with their counts, constant features."""
    height, width, channels = facts.shape
    colour = _COLOURS.get(channels, f"{channels} channels")
    unit = "bytes" if facts.kind == "uint8" else f"{facts.kind} of {facts.low:g} to {facts.high:g}"
    apart = f", {facts.validation:,} that validate" if facts.validation else ""
    lines = [
        f"{facts.training:,} training images{apart}, {facts.test:,} for the test: "
        f"{height}x{width}, {colour}, {unit}"
    ]
    counts = facts.per_class
    first = list(counts.items())[:SHOWN_CLASSES]
    told = ", ".join(f"{shown(name, keep='')[:LONGEST]} {count:,}" for name, count in first)
    if len(counts) > SHOWN_CLASSES:
        told += f", ... ({min(counts.values()):,} to {max(counts.values()):,} images a class)"
    lines.append(f"{len(counts)} classes: {told}")
    if facts.constant:
        lines.append(
            f"{facts.constant:,} of {facts.features:,} features are the same in all training images"
        )
    return lines
