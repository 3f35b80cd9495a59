"""An experiment in short, for scripts and notebooks: its sentences and two tables."""

from __future__ import annotations

import html
import io

import pandas as pd

from normbench.constants import OUTCOME_STATES
from normbench.plain import shown
from normbench.report.answer import Answer, answer
from normbench.report.sections import Section, pairs_section
from normbench.report.summary import summary
from normbench.report.tables import cells, console, rich_table
from normbench.results.experiment import ExperimentResult

WIDTH = 80

_STYLE = "text-align:{side};padding:0.1em 0.7em"


def sentences(comparison: ExperimentResult) -> list[str]:
    """What the experiment says, and what a reader must know before believing it."""
    if not _has_outcome(comparison):
        return [f"Experiment {comparison.name!r} has no finished run yet."]
    conclusion = answer(comparison)
    return [*conclusion.sentences, *conclusion.caveats]


def as_text(comparison: ExperimentResult) -> str:
    """The sentences and tables for a terminal of 80 columns, without colour."""
    out = console(file=io.StringIO(), width=WIDTH, color_system=None)
    for sentence in sentences(comparison):
        out.print(sentence, markup=False)
    for section in _picked(comparison):
        out.print()
        rows, columns = section.rows, section.columns
        out.print(rich_table(section.title, rows, columns, WIDTH, section.note, section.norms))
    assert isinstance(out.file, io.StringIO)
    return "\n".join(line.rstrip() for line in out.file.getvalue().rstrip().split("\n"))


def as_html(comparison: ExperimentResult) -> str:
    """The same for a notebook: plain HTML, which loads nothing."""
    first, *others = sentences(comparison)
    parts = [f"<p><b>{html.escape(first)}</b> {html.escape(' '.join(others))}</p>"]
    parts += [_table(section) for section in _picked(comparison)]
    return shown("\n".join(parts))


def table(comparison: ExperimentResult) -> pd.DataFrame:
    """The first table with the texts of the terminal, indexed by the norm."""
    first = summary(answer(comparison))[0]
    headings = [column.heading for column in first.columns]
    frame = pd.DataFrame(cells(first.rows, first.columns), columns=headings)
    return frame.set_index(headings[0])


def _has_outcome(comparison: ExperimentResult) -> bool:
    return bool(comparison.results.runs["state"].isin(OUTCOME_STATES).any())


def _picked(comparison: ExperimentResult) -> list[Section]:
    """The table below the sentences, and every metric against the baseline."""
    if not _has_outcome(comparison):
        return []
    conclusion: Answer = answer(comparison)
    tables = (comparison.best if conclusion.tuned_key else None) or comparison.reported
    against = pairs_section(tables, comparison.name, conclusion.order)
    return [*summary(conclusion)[:1], *([against] if len(against.rows) else [])]


def _table(section: Section) -> str:
    sides = ["left" if column.left else "right" for column in section.columns]

    def line(tag: str, texts: list[str], weight: str = "") -> str:
        cells = (
            f'<{tag} style="{_STYLE.format(side=side)}{weight}">{html.escape(text)}</{tag}>'
            for side, text in zip(sides, texts, strict=True)
        )
        return f"<tr>{''.join(cells)}</tr>"

    head = line("th", [column.heading for column in section.columns])
    rows = cells(section.rows, section.columns)
    body = "".join(
        line("td", row, ";font-weight:bold" if index in section.bold else "")
        for index, row in enumerate(rows)
    )
    note = f"<small>{html.escape(section.note)}</small>" if section.note else ""
    return (
        f"<table><caption>{html.escape(section.title)}</caption>"
        f"<thead>{head}</thead><tbody>{body}</tbody></table>{note}"
    )
