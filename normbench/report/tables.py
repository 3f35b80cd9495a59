"""The same table as Rich text, CSV, Markdown or LaTeX."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from normbench.charts.palette import NormStyle, norm_styles
from normbench.plain import cell
from normbench.report.columns import Column, Row

if TYPE_CHECKING:
    import pandas as pd

Cells = list[list[str]]
Fit = tuple[int, list[int]]


def cells(frame: pd.DataFrame | Sequence[Row], columns: Sequence[Column]) -> Cells:
    """The texts of a table, row by row."""
    rows = frame if isinstance(frame, Sequence) else frame.to_dict("records")
    return [[column.text(row) for column in columns] for row in rows]


def rich_table(
    title: str,
    frame: pd.DataFrame | Sequence[Row],
    columns: Sequence[Column],
    width: int,
    note: str = "",
    norms: Sequence[str] = (),
    bold: Sequence[int] = (),
) -> RenderableType:
    """A table at most ``width`` characters wide; what did not fit is named below it.

    norms: those of the whole experiment, which decide on colours; bold: places of the rows that
    stand out. Headings and words wrap before a column is dropped. Where even the columns that are
    never dropped would break words, each row is a block of lines.
    """
    kept, dropped = list(columns), []
    while _fits(cells(frame, kept), kept, width) is None and any(c.weight for c in kept):
        last = max(kept, key=lambda column: column.weight)
        kept.remove(last)
        dropped.append(last.heading)
    if (fit := _fits(cells(frame, kept), kept, width)) is None:
        kept, dropped = list(columns), []  # blocks have room for all
    shown = cells(frame, kept)
    styles = row_styles(frame, norms)
    body = _blocks(shown, kept, styles) if fit is None else _table(shown, kept, fit, styles, bold)
    notes = [note] if note else []
    if dropped:
        notes.append(f"not shown at this width: {', '.join(reversed(dropped))}")
    return Group(Text(title, style="bold"), body, *(Text(text, style="dim") for text in notes))


def _table(
    rows: Cells,
    columns: Sequence[Column],
    fit: Fit,
    styles: Mapping[str, NormStyle],
    bold: Sequence[int],
) -> Table:
    gap, widths = fit
    table = Table(box=box.SIMPLE_HEAD, padding=(0, gap - 1, 0, 0))
    for column, width in zip(columns, widths, strict=True):
        side: JustifyMethod = "left" if column.left else "right"
        table.add_column(column.heading, justify=side, overflow="fold", width=width)
    previous: str | None = None
    for index, row in enumerate(rows):
        first, *others = (
            _cell(text, column, styles) for text, column in zip(row, columns, strict=True)
        )
        name = Text("") if row[0] == previous else first
        table.add_row(name, *others, style="bold" if index in bold else None)
        previous = row[0]
    return table


def _cell(text: str, column: Column, styles: Mapping[str, NormStyle]) -> Text:
    """A norm's name in its colour."""
    return Text(text, styles[text].terminal if column.names_norm else "")


def _blocks(rows: Cells, columns: Sequence[Column], styles: Mapping[str, NormStyle]) -> Group:
    """Each row under its first cell, a line a column."""
    parts: list[RenderableType] = []
    for row in rows:
        block = Table.grid(padding=(0, 2, 0, 0))
        first, *others = (
            _cell(text, column, styles) for text, column in zip(row, columns, strict=True)
        )
        for column, text in zip(columns[1:], others, strict=True):
            if not text.plain:
                continue
            text.overflow = "fold"
            block.add_row(Text(column.heading), text)
        first.stylize("bold")
        parts += [first, Padding(block, (0, 0, 0, 2), expand=False)]
    return Group(*parts)


def row_styles(frame: pd.DataFrame | Sequence[Row], norms: Sequence[str]) -> dict[str, NormStyle]:
    """The look of each norm that a table names.

    norms: those of the whole experiment, whatever the table holds, so that each looks the same in
    every table and chart of it.
    """
    named: set[str] = set()
    if not isinstance(frame, Sequence):
        named = {str(label) for name in ("norm", "baseline") for label in frame.get(name, ())}
    return norm_styles(named.union(norms))


def _natural(rows: Cells, columns: Sequence[Column]) -> list[int]:
    texts = _texts(rows, columns)
    return [max(map(cell_len, [c.heading, *t])) for c, t in zip(columns, texts, strict=True)]


def _texts(rows: Cells, columns: Sequence[Column]) -> list[list[str]]:
    return [[row[i] for row in rows] for i in range(len(columns))]


def _fits(rows: Cells, columns: Sequence[Column], width: int) -> Fit | None:
    """The room between columns, and their widths; None where a word would break.

    Two characters between columns, one where only that makes them fit.
    """
    for gap in (2, 1):
        if (widths := _widths(rows, columns, width - 1 - gap * len(columns))) is not None:
            return gap, widths
    return None


def _widths(rows: Cells, columns: Sequence[Column], room: int) -> list[int] | None:
    """Widths that sum to ``room`` at most, the widest columns wrapped first, or None.

    Headings and columns of words wrap between words, numbers not at all.
    """
    least = [
        max(cell_len(part) for part in [*column.heading.split(), *_wholes(texts, column), ""])
        for column, texts in zip(columns, _texts(rows, columns), strict=True)
    ]
    if sum(least) > room:
        return None
    widths = _natural(rows, columns)
    while sum(widths) > room:
        free = [i for i, width in enumerate(widths) if width > least[i]]
        widths[max(free, key=lambda i: widths[i])] -= 1
    return widths


def _wholes(texts: Sequence[str], column: Column) -> list[str]:
    return [word for text in texts for word in text.split()] if column.left else list(texts)


def plain_table(frame: pd.DataFrame, columns: Sequence[Column], form: str) -> str:
    """csv, markdown or latex. csv holds the numbers of ``frame`` in full; the others its texts."""
    if form == "csv":
        flat = frame[[name for name in frame.columns if not _holds_arrays(frame[name])]]
        flat = flat.apply(lambda column: column.map(cell) if column.dtype.kind == "O" else column)
        return flat.to_csv(index=False)
    headings = [column.heading for column in columns]
    rows = cells(frame, columns)
    return (
        _markdown(headings, rows, columns)
        if form == "markdown"
        else _latex(headings, rows, columns)
    )


def _holds_arrays(column: pd.Series) -> bool:
    return column.dtype == object and any(hasattr(value, "shape") for value in column)


def _markdown(headings: list[str], rows: Cells, columns: Sequence[Column]) -> str:
    rule = [":--" if column.left else "--:" for column in columns]
    lines = [headings, rule, *rows]
    escaped = [[text.replace("|", "\\|") for text in line] for line in lines]
    return "".join(f"| {' | '.join(line)} |\n" for line in escaped)


_LATEX = {
    "\\": r"\textbackslash{}",
    "–": "--",
    "±": r"$\pm$",
    "µ": r"$\mu$",
    ">": "$>$",
    "<": "$<$",
}
_LATEX |= {"▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$", "★": r"$\bigstar$"}
_LATEX |= {"≈": r"$\approx$", "∞": r"$\infty$", "·": r"$\cdot$", "†": r"\dag{}"}
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}


def _latex(headings: list[str], rows: Cells, columns: Sequence[Column]) -> str:
    # Block characters have no place in a paper; a table of them is for terminals.
    kept = [i for i, column in enumerate(columns) if not column.picture]
    spec = "".join("l" if columns[i].left else "r" for i in kept)
    out = io.StringIO()
    out.write(f"\\begin{{tabular}}{{{spec}}}\n\\hline\n")
    for index, line in enumerate([headings, *rows]):
        texts = ("".join(_LATEX.get(c, c) for c in line[i]) for i in kept)
        out.write(" & ".join(texts) + " \\\\\n" + ("\\hline\n" if index == 0 else ""))
    out.write("\\hline\n\\end{tabular}\n")
    return out.getvalue()


def console(*, stderr: bool = False, **options: Any) -> Console:
    """A console that neither colours nor wraps what a pipe receives beyond its width."""
    return Console(stderr=stderr, highlight=False, soft_wrap=False, **options)
