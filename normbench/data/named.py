"""Arrays that say by their names what they are: ``x_train``, ``y_train`` and so on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from normbench.data.arrays import Layout, Part, assembled
from normbench.data.catalog import RawDataset
from normbench.errors import DataError, suggest

_PARTS = ("train", "val", "test")
_STYLES = (("x_{}", "y_{}"), ("{}_images", "{}_labels"))
_CLASSES = "classes"
EXPECTED = (
    "expected x_train and y_train; beside them x_val and y_val, x_test and y_test, and the names "
    "of the classes as classes"
)


def from_names(
    arrays: Mapping[str, Any], *, name: str, origin: str, layout: Layout, resize: int | None
) -> RawDataset:
    """The dataset of a mapping of arrays; see ``assembled``. Raises DataError."""
    parts = {
        part: Part(arrays[x], arrays[y], (x, y)) for part, (x, y) in check_names(arrays, origin)
    }
    return assembled(
        parts["train"],
        parts.get("val"),
        parts.get("test"),
        name=name,
        origin=origin,
        classes=arrays.get(_CLASSES),
        layout=layout,
        resize=resize,
    )


def check_names(names: Collection[str], origin: str) -> list[tuple[str, tuple[str, str]]]:
    """(part, names of its images and its labels) of every part there is.

    Raises DataError where there is no train, half of a part, or a name of which nothing is known.
    """
    style = next((style for style in _STYLES if style[0].format("train") in names), None)
    if style is None:
        hint = suggest("x_train", list(names)) or "known: nothing"
        raise DataError(f"{origin}: no x_train in it; {EXPECTED}\n    {hint}")
    pairs = [(part, (style[0].format(part), style[1].format(part))) for part in _PARTS]
    known = {_CLASSES, *(name for _, pair in pairs for name in pair)}
    if odd := sorted(set(names) - known):
        raise DataError(f"{origin}: nothing is known of {odd[0]!r}; {EXPECTED}")
    for _, (x, y) in pairs:
        if (x in names) != (y in names):
            there, lacks = (x, y) if x in names else (y, x)
            raise DataError(f"{origin}: {there} without {lacks}; {EXPECTED}")
    return [(part, pair) for part, pair in pairs if pair[0] in names]
