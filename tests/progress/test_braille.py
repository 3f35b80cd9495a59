"""Line charts of braille: where the dots stand, against what is drawn by hand."""

from __future__ import annotations

import numpy as np
import pytest

from normbench.progress.braille import Line, plot


def chart(*lines: Line, width: int = 12, height: int = 3, log: bool = False) -> list[str]:
    return [row.plain for row in plot(lines, width, height, lambda v: f"{v:3.0f}", log=log)]


def dots(rows: list[str]) -> np.ndarray:
    """The dots of a chart, [4 rows a line, 2 columns a cell], from the characters alone."""
    cells = [row.split("┤" if "┤" in row else "│")[1] for row in rows[:-1]]
    found = np.zeros((4 * len(cells), 2 * len(cells[0])), dtype=bool)
    bits = {0: (0, 0), 1: (1, 0), 2: (2, 0), 3: (0, 1), 4: (1, 1), 5: (2, 1), 6: (3, 0), 7: (3, 1)}
    for y, line in enumerate(cells):
        for x, cell in enumerate(line):
            code = 0 if cell == " " else ord(cell) - 0x2800
            for bit, (row, column) in bits.items():
                found[4 * y + row, 2 * x + column] = bool(code >> bit & 1)
    return found


def test_a_line_goes_from_corner_to_corner_without_a_gap():
    found = dots(chart(Line("a", "", [0, 10], [0, 1])))
    assert found[-1, 0]
    assert found[0, -1]
    assert found.any(axis=0).all()
    heights = [np.flatnonzero(column).mean() for column in found.T]
    assert heights == sorted(heights, reverse=True)


def test_the_axes_tell_the_ends_and_the_middle():
    rows = chart(Line("a", "", [0, 500], [0, 100]), width=20)
    assert [row.split("┤")[0].strip() for row in rows[:-1]] == ["100", "50", "0"]
    assert rows[-1].split() == ["0", "500"]
    assert len({len(row) for row in rows}) == 1


def test_on_a_logarithm_each_power_of_ten_takes_the_same_room():
    found = dots(chart(Line("a", "", [0, 1, 2], [1, 10, 100]), height=5, log=True))
    straight = dots(chart(Line("a", "", [0, 1, 2], [0, 1, 2]), height=5))
    assert (found == straight).all()


def test_what_has_no_place_leaves_a_gap():
    found = dots(chart(Line("a", "", [0, 1, 2, 3, 4], [1, 1, np.nan, 2, 2])))
    empty = np.flatnonzero(~found.any(axis=0))
    assert len(empty)
    assert found.any(axis=0)[[0, -1]].all()
    assert chart(Line("a", "", [0], [0.0]), log=True) == []
    assert chart() == []


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5]])
def test_one_point_and_a_level_line_are_drawn(values):
    assert dots(chart(Line("a", "", range(len(values)), values))).any()


def test_a_cell_has_the_colour_of_the_line_drawn_last():
    lines = [Line("a", "red", [0, 1], [0, 1]), Line("b", "blue", [0, 1], [1, 0])]
    rows = plot(lines, 20, 4, str, log=False)
    styles = {str(span.style) for row in rows for span in row.spans}
    assert {"red", "blue"} <= styles
