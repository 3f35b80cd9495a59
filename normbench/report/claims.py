"""The list of statements and their verdicts; on request what was found, and what reproduces it."""

from __future__ import annotations

import string
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
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


def print_claims(claims: Mapping[str, Any], form: str = "table", *, verbose: bool = False) -> None:
    """Print what ``Claims.to_dict`` gives: as a list, or as csv, markdown or latex.

    verbose: also the evidence of every statement and the commands that reproduce it.
    """
    rows: list[dict[str, Any]] = claims["claims"]
    if form != "table":
        print(plain_table(_frame(rows), _columns(), form), end="")
        return
    out = console()
    article = any("from" not in row for row in rows)
    where = "small, on the digits" if claims["quick"] else "as configured"
    where = where if article else "each by its own config"
    out.print(Text(f"{claims['experiment']}: statements about normalization, {where}", "bold"))
    if claims["setting"]:
        out.print(Text(claims["setting"], "dim"))
    out.print(_verdicts(rows))
    if claims["notes"]:
        out.print(Text(f"measured: {'; '.join(claims['notes'])}", "dim"))
    if not verbose:
        out.print(Text("-v shows the evidence and what reproduces it; --json has all", "dim"))
        return
    letters = command_letters(rows)
    for row in rows:
        _evidence(out, row, letters)
    out.print(Text("to reproduce", "bold"))
    for command, letter in letters.items():
        # A command is for copying: it is not folded, so a line stays a line.
        out.print(Text(f"{letter}  {command}"), soft_wrap=True)


def print_list(rows: Sequence[Mapping[str, Any]], form: str = "table") -> None:
    """Print every claim: number, name, what it says, who says so, and what it rests on."""

    def rests(row: Mapping[str, Any]) -> str:
        words = [*(row["configs"] or ["your config"]), *(["needs a GPU"] if row["gpu"] else [])]
        return ", ".join(words)

    columns = [
        Column("", lambda row: str(row["number"])),
        Column("name", lambda row: str(row["name"]), left=True),
        Column("claim", lambda row: str(row["short"]), weight=2, left=True),
        Column("source", lambda row: str(row["source"]) or "the article", weight=1, left=True),
        Column("rests on", rests, weight=1, left=True),
    ]
    frame = pd.DataFrame(rows)
    if form != "table":
        print(plain_table(frame, columns, form), end="")
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_lines=False)
    table.add_column("", justify="right")
    for heading, ratio in (("name", None), ("claim", 4), ("source", 3), ("rests on", 3)):
        table.add_column(heading, ratio=ratio, overflow="fold", no_wrap=ratio is None)
    for row in rows:
        table.add_row(*(Text(column.text(row)) for column in columns))
    console().print(table)


def command_letters(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """command -> the letter that stands for it; each command once."""
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


def _verdicts(rows: Sequence[Mapping[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_lines=False)
    table.add_column("", justify="right")
    table.add_column("statement", ratio=4, overflow="fold")
    table.add_column("verdict", width=10)
    table.add_column("on what, and where", ratio=5, overflow="fold")
    for row in rows:
        verdict = Text(row["verdict"], STYLES.get(row["verdict"], "dim"))
        conditions = Text(row["conditions"])
        table.add_row(str(row["number"]), Text(row["short"]), verdict, conditions)
    return table


def _evidence(out: Console, row: Mapping[str, Any], letters: Mapping[str, str]) -> None:
    heading = Text(f"{row['number']}  {row['statement']}", "bold")
    heading.append(f"  {row['verdict']}", STYLES.get(row["verdict"], "dim"))
    out.print(heading)
    if row["source"]:
        out.print(Text(f"   {row['source']}", "dim"))
    out.print(Text(f"   {row['experiment']}", "dim"))
    for sentence in row["evidence"]:
        out.print(Text(f"   - {sentence}"))
    if row["table"]:
        frame = pd.DataFrame(row["table"])
        title = f"statement {row['number']}: is the output invariant?"
        out.print(rich_table(title, frame, invariance_columns(), out.width, INVARIANCE_NOTE))
    marks = ", ".join(letters[command] for command in row["commands"])
    out.print(Text(f"   [{marks}]\n", "dim"))


KEYS = ("number", "statement", "source", "verdict", "conditions", "experiment")


def _frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                **{key: row[key] for key in KEYS},
                "evidence": "; ".join(row["evidence"]),
                "commands": "; ".join(row["commands"]),
            }
            for row in rows
        ]
    )


def _columns() -> list[Column]:
    names = (*KEYS, "evidence", "commands")
    return [Column(name, lambda row, name=name: str(row[name]), left=True) for name in names]  # type: ignore[misc]
