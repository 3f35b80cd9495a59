"""Arrays that say by their names what they are: ``x_train``, ``y_train`` and so on."""

from __future__ import annotations

from collections.abc import Mapping
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
    style = next((style for style in _STYLES if style[0].format("train") in arrays), None)
    if style is None:
        hint = suggest("x_train", list(arrays)) or "known: nothing"
        raise DataError(f"{origin}: no x_train in it; {EXPECTED}\n    {hint}")
    known = {template.format(part) for part in _PARTS for template in style}
    if odd := sorted(arrays.keys() - known - {_CLASSES}):
        raise DataError(f"{origin}: nothing is known of {odd[0]!r}; {EXPECTED}")
    parts: dict[str, Part] = {}
    for part in _PARTS:
        x, y = (template.format(part) for template in style)
        if (x in arrays) != (y in arrays):
            there, lacks = (x, y) if x in arrays else (y, x)
            raise DataError(f"{origin}: {there} without {lacks}; {EXPECTED}")
        if x in arrays:
            parts[part] = Part(arrays[x], arrays[y], (x, y))
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
