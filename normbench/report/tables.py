"""The same table as Rich text, CSV, Markdown or LaTeX."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from normbench.charts.palette import looks
from normbench.report.columns import Column

Cells = list[list[str]]


def cells(frame: pd.DataFrame, columns: Sequence[Column]) -> Cells:
    """The texts of a table, row by row."""
    return [[column.text(row) for column in columns] for row in frame.to_dict("records")]


def rich_table(
    title: str, frame: pd.DataFrame, columns: Sequence[Column], width: int, note: str = ""
) -> RenderableType:
    """A table at most ``width`` characters wide; what did not fit is named below it."""
    kept, dropped = list(columns), []
    while _width(cells(frame, kept), kept) > width and any(column.weight for column in kept):
        last = max(kept, key=lambda column: column.weight)
        kept.remove(last)
        dropped.append(last.heading)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in kept:
        table.add_column(
            column.heading, justify="left" if column.left else "right", overflow="fold"
        )
    previous: str | None = None
    look = looks(labels(frame))
    for row in cells(frame, kept):
        shown = [
            Text(text, look[text].terminal if column.names_norm else "")
            for text, column in zip(row, kept, strict=True)
        ]
        if row[0] == previous:
            shown[0] = Text("")
        previous = row[0]
        table.add_row(*shown)
    notes = [note] if note else []
    if dropped:
        notes.append(f"not shown at this width: {', '.join(reversed(dropped))}")
    return Group(Text(title, style="bold"), table, *(Text(text, style="dim") for text in notes))


def labels(frame: pd.DataFrame) -> list[str]:
    """The norms that a table names, so that each has the look that it has in every other table."""
    named = [frame[column].map(str) for column in ("norm", "baseline") if column in frame.columns]
    return list(dict.fromkeys(pd.concat(named))) if named else []


def _width(rows: Cells, columns: Sequence[Column]) -> int:
    """Characters of the widest line: each column has two beside its text, the edge one."""
    texts = zip(*rows, strict=True) if rows else ([] for _ in columns)
    return 1 + sum(
        2 + max([len(column.heading), *map(len, body)])
        for column, body in zip(columns, texts, strict=True)
    )


def plain_table(frame: pd.DataFrame, columns: Sequence[Column], form: str) -> str:
    """csv, markdown or latex. csv holds the numbers of ``frame`` in full; the others its texts."""
    if form == "csv":
        flat = frame[[name for name in frame.columns if not _holds_arrays(frame[name])]]
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
_LATEX |= {"▲": r"$\blacktriangle$", "▼": r"$\blacktriangledown$"}
_LATEX |= {character: f"\\{character}" for character in "&%$#_{}"}


def _latex(headings: list[str], rows: Cells, columns: Sequence[Column]) -> str:
    # Block characters have no place in a paper; a table of them is for terminals.
    kept = [i for i, column in enumerate(columns) if not column.picture]
    spec = "".join("l" if columns[i].left else "r" for i in kept)
    out = io.StringIO()
    out.write(f"\\begin{{tabular}}{{{spec}}}\n\\hline\n")
    for place, line in enumerate([headings, *rows]):
        texts = ("".join(_LATEX.get(c, c) for c in line[i]) for i in kept)
        out.write(" & ".join(texts) + " \\\\\n" + ("\\hline\n" if place == 0 else ""))
    out.write("\\hline\n\\end{tabular}\n")
    return out.getvalue()


def console(*, stderr: bool = False, **options: Any) -> Console:
    """A console that neither colours nor wraps what a pipe receives beyond its width."""
    return Console(stderr=stderr, highlight=False, soft_wrap=False, **options)
