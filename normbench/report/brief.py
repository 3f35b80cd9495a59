"""An experiment in short, for scripts and notebooks: sentences and two tables."""

from __future__ import annotations

import html
import io

import pandas as pd

from normbench.comparison import Comparison
from normbench.conventions import OUTCOME_STATES
from normbench.report.sections import Section, sections
from normbench.report.tables import cells, console, rich_table
from normbench.report.verdict import caveats, verdict

WIDTH = 80
PICKED = ("convergence", "gradients")

_STYLE = "text-align:{side};padding:0.1em 0.7em"


def sentences(comparison: Comparison) -> list[str]:
    """What the experiment says, and what a reader must know before believing it."""
    if not _has_outcome(comparison):
        return [f"Experiment {comparison.name!r} has no finished run yet."]
    return [*verdict(comparison), *caveats(comparison)]


def as_text(comparison: Comparison) -> str:
    """The sentences and tables for a terminal of 80 columns, without colour."""
    out = console(file=io.StringIO(), width=WIDTH, color_system=None)
    for sentence in sentences(comparison):
        out.print(sentence, markup=False)
    for title, rows, columns, note, norms, _ in _picked(comparison):
        out.print()
        out.print(rich_table(title, rows, columns, WIDTH, note, norms))
    assert isinstance(out.file, io.StringIO)
    return "\n".join(line.rstrip() for line in out.file.getvalue().rstrip().split("\n"))


def as_html(comparison: Comparison) -> str:
    """The same for a notebook: plain HTML, which loads nothing."""
    parts = [f"<p>{html.escape(' '.join(sentences(comparison)))}</p>"]
    parts += [_table(section) for section in _picked(comparison)]
    return "\n".join(parts)


def table(comparison: Comparison) -> pd.DataFrame:
    """The first table with the texts of the terminal, indexed by its first column."""
    first = next(iter(sections(comparison)))
    headings = [column.heading for column in first.columns]
    frame = pd.DataFrame(cells(first.rows, first.columns), columns=headings)
    return frame.set_index(headings[0])


def _has_outcome(comparison: Comparison) -> bool:
    return bool(comparison.results.runs["state"].isin(OUTCOME_STATES).any())


def _picked(comparison: Comparison) -> list[Section]:
    if not _has_outcome(comparison):
        return []
    named = {section.title.rpartition(": ")[2]: section for section in sections(comparison)}
    return [named[name] for name in PICKED if name in named and len(named[name].rows)]


def _table(section: Section) -> str:
    sides = ["left" if column.left else "right" for column in section.columns]

    def line(tag: str, texts: list[str]) -> str:
        found = (
            f'<{tag} style="{_STYLE.format(side=side)}">{html.escape(text)}</{tag}>'
            for side, text in zip(sides, texts, strict=True)
        )
        return f"<tr>{''.join(found)}</tr>"

    head = line("th", [column.heading for column in section.columns])
    body = "".join(line("td", row) for row in cells(section.rows, section.columns))
    note = f"<small>{html.escape(section.note)}</small>" if section.note else ""
    return (
        f"<table><caption>{html.escape(section.title)}</caption>"
        f"<thead>{head}</thead><tbody>{body}</tbody></table>{note}"
    )
