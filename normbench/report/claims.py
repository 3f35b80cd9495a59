"""The table of statements: what was found, its numbers, and what reproduces them."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.table import Table
from rich.text import Text

from normbench.report.columns import Column, number
from normbench.report.tables import console, plain_table, rich_table

STYLES = {"supported": "green", "refuted": "red", "depends": "yellow"}
INVARIANCES = {
    "weight_matrix_scaling": "W scaled",
    "weight_matrix_recentring": "W shifted",
    "weight_vector_scaling": "w scaled",
    "dataset_scaling": "x scaled",
    "dataset_recentring": "x shifted",
    "single_example_scaling": "one scaled",
}
INVARIANCE_NOTE = (
    "relative change of the output: below 1e-4 yes, above 1e-2 NO; W: the whole weight matrix, w: "
    "the weights of one unit, x: all examples, one: a single example. * is not as theory says"
)


def print_claims(found: Mapping[str, Any], form: str = "table") -> None:
    """Print what ``Claims.to_dict`` gives: as tables, or as csv, markdown or latex."""
    rows: list[dict[str, Any]] = found["claims"]
    letters = command_letters(rows)
    if form != "table":
        print(plain_table(_frame(rows), _columns(), form), end="")
        return
    out = console()
    where = "small, on the digits" if found["quick"] else "as configured"
    out.print(Text(f"{found['experiment']}: statements about normalization, {where}", "bold"))
    out.print(_statements(rows, letters))
    for row in rows:
        if row["table"]:
            frame = pd.DataFrame(row["table"])
            title = f"statement {row['number']}: is the output invariant?"
            out.print(rich_table(title, frame, invariance_columns(), out.width, INVARIANCE_NOTE))
            out.print()
    if found["notes"]:
        out.print(Text(f"measured: {'; '.join(found['notes'])}", "dim"))
    out.print(Text("to reproduce", "bold"))
    for command, letter in letters.items():
        # A command is for copying: it is not folded, so a line stays a line.
        out.print(Text(f"{letter}  {command}"), soft_wrap=True)


def command_letters(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """command -> the letter that stands for it in the table; each command once."""
    commands = dict.fromkeys(command for row in rows for command in row["commands"])
    names = [*string.ascii_lowercase, *(a + b for a in "ab" for b in string.ascii_lowercase)]
    return dict(zip(commands, names, strict=False))


def invariance_columns() -> list[Column]:
    """yes or NO, with the measured change."""
    return [
        Column("norm", lambda row: str(row["norm"]), left=True),
        Column("on", lambda row: str(row["block"]), weight=1, left=True),
        *(
            Column(heading, lambda row, key=key: _invariance(row, key), left=True)  # type: ignore[misc]
            for key, heading in INVARIANCES.items()
        ),
    ]


def _invariance(row: Mapping[str, Any], key: str) -> str:
    change, theory = row[key], row[f"{key}_theory"]
    word = "yes" if change < 1e-4 else "NO" if change > 1e-2 else "?"
    off = "*" if theory is not None and word != ("yes" if theory else "NO") else ""
    return f"{word}{off} " + (f"{change:.0e}" if 0 < change < 1e-2 else number(change, 1))


def _statements(rows: Sequence[Mapping[str, Any]], letters: Mapping[str, str]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_lines=False)
    table.add_column("", justify="right")
    table.add_column("statement", ratio=3, overflow="fold")
    table.add_column("verdict", width=10)
    table.add_column("evidence", ratio=5, overflow="fold")
    for row in rows:
        marks = ", ".join(letters[command] for command in row["commands"])
        evidence = Text("\n").join(Text(line) for line in row["evidence"])
        evidence.append(f"\n[{marks}]", "dim")
        verdict = Text(row["verdict"], STYLES.get(row["verdict"], "dim"))
        table.add_row(str(row["number"]), Text(row["statement"]), verdict, evidence)
        table.add_section()
    return table


def _frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    keys = ("number", "statement", "experiment", "verdict")
    return pd.DataFrame(
        [
            {
                **{key: row[key] for key in keys},
                "evidence": "; ".join(row["evidence"]),
                "commands": "; ".join(row["commands"]),
            }
            for row in rows
        ]
    )


def _columns() -> list[Column]:
    names = ("number", "statement", "experiment", "evidence", "verdict", "commands")
    return [Column(name, lambda row, name=name: str(row[name]), left=True) for name in names]  # type: ignore[misc]
