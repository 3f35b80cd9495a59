"""How a norm looks: colour, dash and shape, the same in every chart, table and display.

The colours of one scheme stay apart under protanopia, deuteranopia and tritanopia as simulated by
Machado et al. 2009 (doi:10.1109/TVCG.2009.113), and stand out from their background by 3:1 at
least (WCAG 2.1, 1.4.11). Dashes and shapes tell the norms apart without any colour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

LIGHT_BACKGROUND, DARK_BACKGROUND = "#ffffff", "#14171c"


@dataclass(frozen=True)
class NormStyle:
    """light, dark: colours on a light and a dark page; terminal: one that serves on both.

    dash: lengths of strokes and gaps; shape: a Vega symbol.
    """

    light: str
    dark: str
    terminal: str
    dash: tuple[int, ...]
    shape: str


_STYLES = (
    NormStyle("#252226", "#ffffff", "#808080", (1, 0), "circle"),
    NormStyle("#004ed6", "#2e85fb", "#2e85fb", (8, 3), "square"),
    NormStyle("#d97c09", "#d65b17", "#d65b17", (3, 2), "triangle-up"),
    NormStyle("#16a771", "#13e183", "#16a771", (10, 3, 2, 3), "diamond"),
    NormStyle("#a680b8", "#c97ea8", "#c0709e", (14, 4), "cross"),
    NormStyle("#603f00", "#ffe023", "#a07a00", (1, 2), "triangle-down"),
    NormStyle("#598ef1", "#9cb2ff", "#598ef1", (6, 2, 1, 2, 1, 2), "triangle-right"),
    NormStyle("#572672", "#7f59a8", "#9468c0", (4, 4), "triangle-left"),
)
_HOUSE = {"none": 0, "batch": 1, "layer": 2, "rms": 3, "group": 4, "instance": 5}


def norm_styles(labels: Iterable[str]) -> dict[str, NormStyle]:
    """label -> its style, for the norms of one experiment, in any order.

    A norm that bears its kind's name, such as batch or group(groups=4), looks the same in every
    experiment. The others take what is left, in alphabetical order; from the ninth on colours come
    again, with another dash and shape.
    """
    names = sorted(set(labels), key=lambda label: (label not in _HOUSE, label))
    taken: dict[str, int] = {}
    for name in names:
        own = _HOUSE.get(name.partition("(")[0])
        if own is not None and own not in taken.values():
            taken[name] = own
    # The places that no kind claims come first, so that a kind's own stays free where it can.
    free = [
        *range(len(_HOUSE), len(_STYLES)),
        *range(len(_HOUSE)),
        *range(len(_STYLES), len(names)),
    ]
    left = iter([index for index in free if index not in taken.values()])
    for name in names:
        if name not in taken:
            taken[name] = next(left)
    return {name: _style(index) for name, index in taken.items()}


def _style(index: int) -> NormStyle:
    again, position = divmod(index, len(_STYLES))
    style, other = _STYLES[position], _STYLES[(position + again) % len(_STYLES)]
    return NormStyle(style.light, style.dark, style.terminal, other.dash, other.shape)
