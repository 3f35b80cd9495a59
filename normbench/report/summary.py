"""The tables that stand below the sentences: one row a norm, or, of a sweep, norms by values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from normbench.analysis.rule import LEADER, MARKS, SIMILAR, TOO_FEW, mark
from normbench.report.answer import Answer
from normbench.report.columns import (
    Column,
    Row,
    difference,
    ended,
    interval,
    judged,
    key_columns,
    norm_column,
    number,
    percent,
    seconds,
    steps,
)
from normbench.report.sections import Section
from normbench.report.turns import parts, spread_key
from normbench.report.wording import norms as named
from normbench.report.wording import short

HEADINGS = {
    "auc": "AUC",
    "val_accuracy": "val %",
    "test_accuracy": "test %",
    "steps_to_target": "steps",
}
MEANINGS = {
    "auc": "AUC: area under the validation curve",
    "val_accuracy": "val %: validation accuracy at the end",
    "test_accuracy": "test %: test accuracy at the end",
    "steps_to_target": "steps: median, a miss being infinite",
}


def legend(rows: pd.DataFrame, within: str) -> str:
    """What the marks in these rows mean."""
    told = []
    for word, sign in MARKS.items():
        if word == LEADER:
            continue
        known = rows["verdict"].str.startswith(word) & rows["value"].notna()
        own = rows.loc[known, "verdict"]
        if len(own):
            text = f"{word} (within {within})" if word == SIMILAR else word
            told.append(f"{sign} {own.iloc[0] if word == TOO_FEW else text}")
    return ", ".join(told)


def summary(answer: Answer) -> list[Section]:
    """The table below the sentences; of a sweep the matrix, one for each further combination."""
    return _matrices(answer) if answer.keys else [_one_table(answer)]


def long_table(answer: Answer) -> Section:
    """A row a sweep point and norm with every number, as csv writes it."""
    return Section(answer.experiment, answer.rows, _columns(answer), norms=_norms(answer))


def _one_table(answer: Answer) -> Section:
    rows = answer.rows
    first = [index for index, row in enumerate(rows["rank"]) if row == 0]
    return Section(
        answer.experiment,
        rows,
        _columns(answer),
        _note(answer, rows),
        _norms(answer),
        ("to leader", "reached"),
        bold=first,
    )


def _columns(answer: Answer) -> list[Column]:
    metric, rows = answer.rule.metric, answer.rows
    own = short(answer.tuned_key)
    target = _target(answer)
    columns = [
        norm_column(),
        *key_columns(answer.keys),
        Column(_heading(answer), lambda row: judged(metric, row["value"], row["budget_steps"])),
        Column("to leader", lambda row: _to_leader(metric, row)),
        Column(
            "95 % interval",
            lambda row: interval(metric, row["ci_low"], row["ci_high"], unit=False),
        ),
    ]
    if answer.tuned_key:
        columns.append(Column(f"own {own}", lambda row: _plain(row["tuned"])))
    if answer.tuned_key and rows["shared_value"].notna().any():
        columns.append(
            Column(f"shared {HEADINGS[metric]}", lambda row: _shared(metric, row), weight=4)
        )
    if rows["seeds"].nunique() > 1 and rows["runs"].nunique() > 1:
        columns.append(Column("seeds", lambda row: f"{row['seeds']:.0f}"))
    if metric == "steps_to_target":
        columns.append(Column("reached", lambda row: _reached(row), weight=1))
    else:
        columns.append(
            Column(
                f"steps to {target}",
                lambda row: f"{steps(row['steps_to_target'], row['budget_steps'])} {_reached(row)}",
                weight=1,
            )
        )
    if metric != "test_accuracy" and rows["test_accuracy_mean"].notna().any():
        columns.append(Column("test %", lambda row: percent(row["test_accuracy_mean"]), weight=3))
    columns.append(
        Column("step time", lambda row: seconds(row["train_seconds_per_step"]), weight=2)
    )
    # A column that says the same in every row says nothing.
    if any(ended(row) for row in rows.to_dict("records")):
        columns.append(Column("ended", lambda row: ended(row) or "ok", left=True))
    return columns


def _note(answer: Answer, rows: pd.DataFrame) -> str:
    metric = answer.rule.metric
    parts = [MEANINGS[metric]]
    if marks := legend(rows, _within(answer)):
        parts.append(marks)
    lacking = rows[(rows["rank"] > 0) & rows["ci_low"].isna() & rows["value"].notna()]
    lacking = lacking[lacking["interval"] != ""]
    for reason, own in lacking.groupby("interval", sort=False):
        if not own["verdict"].str.startswith(TOO_FEW).all():
            parts.append(f"no interval for {named(dict.fromkeys(own['norm']))}: {reason}")
    if answer.tuned_key and any("!" in _shared(metric, row) for row in rows.to_dict("records")):
        parts.append("! its own best value did worse than the shared one")
    return "; ".join(parts)


def _matrices(answer: Answer) -> list[Section]:
    by = spread_key(answer.rows, answer.keys)
    matrices = []
    for text, part in parts(answer.rows, answer.keys):
        values = list(dict.fromkeys(part[by]))
        order = [norm for norm in _norms(answer) if norm in set(part["norm"])]
        cells: list[dict[str, Any]] = []
        for norm in order:
            own = part[part["norm"] == norm].to_dict("records")
            cells.append({"norm": norm, "cells": {repr(row[by]): row for row in own}})
        columns = [norm_column(), *(_value_column(answer, value) for value in values)]
        title = f"{answer.experiment}: {_title(answer)} by {by}" + (f", {text}" if text else "")
        note = f"{MARKS[LEADER]} best of its column"
        if marks := legend(part, _within(answer)):
            note += f"; against it: {marks}"
        if any(ended(row) for row in part.to_dict("records")):
            note += "; † some of its runs failed, diverged or stayed at chance"
        matrices.append(
            Section(title, pd.DataFrame(cells), columns, note, _norms(answer), ("verdict",))
        )
    return matrices


def _value_column(answer: Answer, value: Any) -> Column:
    metric = answer.rule.metric

    def text(row: Row) -> str:
        cell = row["cells"].get(repr(value))
        if cell is None:
            return ""
        sign = "" if math.isnan(cell["value"]) else mark(cell["verdict"])
        shown = judged(metric, cell["value"], cell["budget_steps"])
        return f"{shown} {sign or ' '}{'†' if ended(cell) else ''}".rstrip()

    return Column(str(value), text)


def _heading(answer: Answer) -> str:
    metric = answer.rule.metric
    return f"steps to {_target(answer)}" if metric == "steps_to_target" else HEADINGS[metric]


def _title(answer: Answer) -> str:
    metric = answer.rule.metric
    names = {"auc": "AUC", "val_accuracy": "validation accuracy (%)"}
    names |= {"test_accuracy": "test accuracy (%)"}
    return names.get(metric) or f"steps to {_target(answer)}"


def _target(answer: Answer) -> str:
    known = answer.rows["target"].dropna()
    return f"{100 * known.iloc[0]:.4g}%" if len(known) else "target"


def _within(answer: Answer) -> str:
    rule = answer.rule
    if rule.metric == "auc":
        return f"{rule.similar_within:g}"
    return f"{100 * rule.similar_within:g} {'%' if rule.metric == 'steps_to_target' else 'pp'}"


def _to_leader(metric: str, row: Row) -> str:
    if row["verdict"] == LEADER:
        return "leader"
    if math.isnan(row["value"]):
        return "–"
    shown = difference(metric, row["difference"], unit=False)
    return f"{shown} {mark(row['verdict'])}".rstrip()


def _shared(metric: str, row: Row) -> str:
    """The judged metric at the shared value; ! where each norm's own best did worse."""
    text = judged(metric, row["shared_value"], row["budget_steps"])
    if math.isnan(row["value"]) or math.isnan(row["shared_value"]):
        return text
    higher = metric != "steps_to_target"
    worse = row["value"] < row["shared_value"] if higher else row["value"] > row["shared_value"]
    return f"{text} !" if worse else text


def _plain(value: Any) -> str:
    return number(float(value)) if isinstance(value, int | float) else str(value)


def _reached(row: Row) -> str:
    return f"{row['reached']:.0f}/{row['runs']:.0f}"


def _norms(answer: Answer) -> Sequence[str]:
    return answer.order
