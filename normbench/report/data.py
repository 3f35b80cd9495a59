"""What is in a dataset, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from normbench.data.facts import Facts

SHOWN_CLASSES = 12

_COLOURS = {1: "grey", 3: "colour"}


def sentences(found: Facts) -> list[str]:
    """A line each: images and their size, classes with their counts, constant features."""
    height, width, channels = found.shape
    colour = _COLOURS.get(channels, f"{channels} channels")
    unit = "bytes" if found.kind == "uint8" else f"{found.kind} of {found.low:g} to {found.high:g}"
    apart = f", {found.validation:,} that validate" if found.validation else ""
    lines = [
        f"{found.training:,} training images{apart}, {found.test:,} for the test: "
        f"{height}x{width}, {colour}, {unit}"
    ]
    counts = found.per_class
    told = ", ".join(f"{name} {count:,}" for name, count in list(counts.items())[:SHOWN_CLASSES])
    if len(counts) > SHOWN_CLASSES:
        told += f", ... ({min(counts.values()):,} to {max(counts.values()):,} images a class)"
    lines.append(f"{len(counts)} classes: {told}")
    if found.constant:
        lines.append(
            f"{found.constant:,} of {found.features:,} features are the same in all training images"
        )
    return lines
