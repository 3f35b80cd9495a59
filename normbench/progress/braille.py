"""Line charts of characters: each cell of braille holds two by four dots."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from rich.text import Text

_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # [row][column] of a cell
_BLANK = 0x2800


class Line(NamedTuple):
    """One line: its name and colour, and its points. Where y is not finite it has a gap."""

    name: str
    style: str
    x: Sequence[float]
    y: Sequence[float]


def plot(
    lines: Sequence[Line],
    width: int,
    height: int,
    text: Callable[[float], str],
    *,
    log: bool = True,
) -> list[Text]:
    """Lines of text, ``height`` of the chart and one with the ends of the horizontal axis.

    text: how a value of y reads at the vertical axis; log: y on a logarithm, on which what is not
    positive has no place. Nothing where no line has a point.
    """
    scaled = [(line, _scaled(line, log)) for line in lines]
    points = np.concatenate([curve for _, curve in scaled] or [np.empty((0, 2))])
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return []
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    ticks = {0: high, height // 2: (low + high) / 2, height - 1: low}
    labels = {row: text(math.exp(value) if log else value) for row, value in ticks.items()}
    margin = max(map(len, labels.values()))
    columns = max(2, width - margin - 2)
    dots = np.zeros((4 * height, 2 * columns), dtype=bool)
    owner = np.full((height, columns), -1)
    span = np.array([max(right - left, 1e-12), max(high - low, 1e-12)])
    size = np.array([2 * columns - 1, 4 * height - 1])
    for number, (_, curve) in enumerate(scaled):
        at = (curve - [left, low]) / span * size
        for start, end in zip(at, [*at[1:], at[-1:].ravel()], strict=True) if len(at) else ():
            if np.isfinite(start).all() and np.isfinite(end).all():
                _stroke(dots, owner, start, end, number)
    rows = []
    for row in range(height):
        cells = Text(f"{labels.get(row, ''):>{margin}} ", "dim")
        cells.append("┤" if row in labels else "│", "dim")
        for column in range(columns):
            block = dots[4 * row : 4 * row + 4, 2 * column : 2 * column + 2]
            code = sum(_DOTS[y][x] for y, x in zip(*np.nonzero(block), strict=True))
            style = lines[owner[row, column]].style if code else ""
            cells.append(chr(_BLANK + code) if code else " ", style)
        rows.append(cells)
    ends = f"{left:.0f}", f"{right:.0f}"
    gap = max(1, columns - len(ends[0]) - len(ends[1]))
    return [*rows, Text(f"{'':{margin + 2}}{ends[0]}{'':{gap}}{ends[1]}", "dim")]


def _scaled(line: Line, log: bool) -> np.ndarray:
    """[points, 2] with y as it is drawn; NaN where it has no place."""
    y = np.asarray(line.y, dtype=float)
    if log:
        y = np.log(np.where(y > 0, y, np.nan))
    return np.column_stack([np.asarray(line.x, dtype=float), y])


def _stroke(
    dots: np.ndarray, owner: np.ndarray, start: np.ndarray, end: np.ndarray, number: int
) -> None:
    """Set the dots from one point to the next; row 0 is at the top."""
    count = int(np.abs(end - start).max()) + 1
    for x, y in np.linspace(start, end, count + 1).round().astype(int):
        row = len(dots) - 1 - y
        dots[row, x] = True
        owner[row // 4, x // 2] = number
