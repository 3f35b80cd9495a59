"""The tables of a comparison in reading order: title, rows, columns, and what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import pandas as pd

from normbench.analysis.comparison import METRICS, needed_seeds
from normbench.analysis.paired_by_value import against_norms, against_value
from normbench.analysis.pivot import pivot
from normbench.analysis.rule import LEADER, MARKS, TOO_FEW, mark
from normbench.report.columns import (
    Column,
    comparison_columns,
    convergence_columns,
    count,
    gradient_columns,
    key_columns,
    norm_column,
    number,
    percent,
    sparkline,
    steps,
    target_columns,
)
from normbench.report.glossary import entry
from normbench.results.experiment import ExperimentResult, ResultTables
from normbench.store.run import point_label

CONVERGENCE_NOTE = (
    "± is the standard deviation over seeds; after a divergence accuracy counts as chance"
)
TARGET_NOTE = (
    "restricted mean: of min(steps, budget); ERT: steps spent by all runs over the number that "
    "reached; log-rank test against"
)
GRADIENT_NOTE = (
    "norm of dL/dz by hidden layer; growth: of its square, per layer toward the input "
    "(1 preserves, below 1 vanishes, above 1 explodes)"
)
PAIRED_NOTE = (
    "paired by seed; the judged metric first: simultaneous intervals, which allow for skew where "
    "those to the leader do not, p by Holm, a verdict; the others are unadjusted; in steps the "
    "Hodges-Lehmann shift, a miss being infinite"
)


class Section(NamedTuple):
    """One table to print. rows that are empty are not shown.

    norms: those of the whole experiment, whatever stands in the rows: they decide on colours.
    defines: the glossary's names for numbers whose headings do not say what they are.
    bold: places of the rows that stand out.
    """

    title: str
    rows: pd.DataFrame
    columns: list[Column]
    note: str = ""
    norms: Sequence[str] = ()
    defines: Sequence[str] = ()
    bold: Sequence[int] = ()


def sections(comparison: ExperimentResult, *, all_pairs: bool = False) -> Iterator[Section]:
    """Every table of an experiment, in reading order."""
    name, key = comparison.name, comparison.tuned_key
    shared = f", {key} as configured" if key else ""
    norms = comparison.reported.norms
    if comparison.shared is not None:
        tables = comparison.shared
        yield from table_sections(tables, f"{name}{shared}", norms, all_pairs=all_pairs)
    if key:
        yield from tuning_sections(comparison, key)
    if comparison.best is not None:
        yield from table_sections(
            comparison.best, f"{name}, {key} at each norm's own best", norms, all_pairs=all_pairs
        )


def table_sections(
    tables: ResultTables, name: str, norms: Sequence[str], *, all_pairs: bool = False
) -> list[Section]:
    """Convergence, time to every target, gradients and paired comparison, in this order.

    norms: those of the experiment.
    """
    keys = tables.results.keys
    target = f"{percent(tables.targets[0])}%"
    return [
        Section(
            f"{name}: convergence",
            tables.convergence,
            convergence_columns(keys, target, tables.convergence),
            CONVERGENCE_NOTE,
            norms,
        ),
        Section(
            f"{name}: steps to target, misses censored",
            tables.by_target,
            target_columns(keys),
            f"{TARGET_NOTE} {tables.baseline}",
            norms,
        ),
        Section(
            f"{name}: gradients",
            tables.gradients,
            gradient_columns(keys, tables.gradients),
            GRADIENT_NOTE,
            norms,
        ),
        pairs_section(tables, name, norms, all_pairs=all_pairs),
    ]


def pairs_section(
    tables: ResultTables, name: str, norms: Sequence[str], *, all_pairs: bool = False
) -> Section:
    """Each norm against the baseline, or every two norms, in every metric."""
    title = "every two norms" if all_pairs else f"paired comparison with {tables.baseline}"
    return Section(
        f"{name}: {title}",
        tables.paired(all_pairs=all_pairs),
        comparison_columns(tables.results.keys, all_pairs=all_pairs),
        PAIRED_NOTE,
        norms,
    )


def side_by_side(comparisons: Sequence[ExperimentResult]) -> Section:
    """The convergence of several experiments in one table."""
    keys = list(dict.fromkeys(key for c in comparisons for key in c.results.keys))
    parts = []
    for c in comparisons:
        fixed = {key: c.value(key) for key in keys if key not in c.results.keys}
        parts.append(c.convergence.assign(experiment=c.name, **fixed).astype(object))
    names = " and ".join(c.name for c in comparisons)
    rows = pd.concat(parts, ignore_index=True)
    columns = [
        Column("experiment", lambda row: str(row["experiment"]), left=True),
        *convergence_columns(keys, f"{percent(comparisons[0].targets[0])}%", rows),
    ]
    norms = list(dict.fromkeys(norm for c in comparisons for norm in c.reported.norms))
    return Section(f"{names}: convergence", rows, columns, CONVERGENCE_NOTE, norms)


def tuning_sections(comparison: ExperimentResult, key: str) -> Iterator[Section]:
    """Each norm's own best value of the tuned key, and accuracy at every value of the grid."""
    keys = comparison.results.keys
    short = key.rsplit(".", 1)[-1]
    columns = [
        norm_column(),
        *key_columns(keys),
        Column(f"best {short}", lambda row: number(row["best"])),
        Column("val %", lambda row: percent(row["val_accuracy_mean"])),
        Column("largest that trains", lambda row: number(row["largest_that_trains"])),
        Column("", lambda row: _remarks(row), left=True),
    ]
    judged = comparison.reported.rule.metric
    by = "validation accuracy" if judged == "test_accuracy" else (entry(judged) or judged)
    yield Section(
        f"{comparison.name}: {key}, chosen by {by} on tuning seeds",
        comparison.choices,
        columns,
        norms=comparison.reported.norms,
    )
    wide = pivot(comparison.sensitivity, "val_accuracy_mean", "tuned", [*keys, "tuned"])
    values = list(wide.columns)
    columns = [
        norm_column(),
        *key_columns(keys),
        Column(
            "curve",
            lambda row: sparkline([row[v] for v in values], len(values), log=False, low=0, high=1),
            left=True,
            picture=True,
        ),
        *(_value_column(number(value), value) for value in values),
    ]
    yield Section(
        f"{comparison.name}: validation accuracy (%) by {key}",
        wide.reset_index(),
        columns,
        norms=comparison.reported.norms,
        defines=("val %",),
    )


def _value_column(heading: str, value: Any) -> Column:
    return Column(heading, lambda row: percent(row[value]))


def _remarks(row: Any) -> str:
    """What to know of a norm's own best value."""
    side = row["at_edge"]
    remarks = [f"at the {side} of the grid: widen it"] if side else []
    if row.get("gain", 0.0) < 0:
        remarks.append(f"worse than shared by {number(-row['gain'])} over {row['pairs']:.0f} seeds")
    return "; ".join(remarks)


def by_key(
    comparison: ExperimentResult, by: str, metric: str, reference: Any | None, *, best: bool = False
) -> Section:
    """One metric against one sweep key: norms down, values across, each held against the others.

    Down a column stand the norms that may be the best there; along a row the values are held
    against one of them.

    metric: a column of the convergence table, or one of the compared metrics by its short name.
    reference: the value that the others are held against, for the same norm and seeds; where it
    was not run, the last one. best: at each norm's own best value of the tuned key, if there are
    such runs. Raises ConfigError for an unknown key or metric.
    """
    tables, keys = (best and comparison.best) or comparison.reported, comparison.results.keys
    column = f"{metric}_mean" if f"{metric}_mean" in tables.convergence.columns else metric
    wide = pivot(tables.convergence, column, by, keys)
    values = list(wide.columns)
    rows, notes = wide.reset_index(), []
    primary = tables.outcomes[tables.outcomes["target"].eq(tables.targets[0])]
    if metric in METRICS and len(tables.norms) > 1:
        held = against_norms(primary, tables.norms, keys, metric=metric)
        told = held["rank"].gt(0) & ~held["verdict"].str.startswith(TOO_FEW)
        told = told.groupby([held[key].map(repr) for key in keys]).transform("any")
        held["leads"] = held["in_set"] & held["value"].notna() & told
        wanted = pivot(held, "leads", by, keys).reindex(wide.index)
        leads = [{at: bool(may == 1) for at, may in row.items()} for _, row in wanted.iterrows()]
        rows = rows.assign(may_be_best=leads)
        if told.any():
            notes.append(f"{MARKS[LEADER]} may be the best norm at its value")
    if metric in METRICS and not (metric == "steps_to_target" and _changes_steps(by)):
        reference = point_label(reference)  # as the columns are named: true, not True
        if reference not in values:
            reference = values[-1]
        verdicts = against_value(primary, by, reference, keys, metric=metric)
        marks = pivot(verdicts, "verdict", by, keys).reindex(wide.index)
        rows = rows.assign(marks=[dict(row) for _, row in marks.iterrows()])
        notes.append(
            f"against the same norm at {by}={reference}, paired by seed: ▼ worse, ▲ better, "
            f"≈ similar, ? undecided, · too few seeds (needs {needed_seeds(max(1, len(verdicts)))})"
        )
    how = f", {comparison.tuned_key} as configured" if comparison.best is not None else ""
    if tables is comparison.best:
        how = f", {comparison.tuned_key} at each norm's own best"
    budget = tables.convergence.groupby(by)["budget_steps"].max()
    columns = [
        norm_column(),
        *key_columns([key for key in keys if key != by]),
        *(
            Column(str(value), lambda row, value=value: _cell(row, value, metric, budget[value]))  # type: ignore[misc]
            for value in values
        ),
    ]
    return Section(
        f"{comparison.name}: {metric.replace('_', ' ')} by {by}{how}",
        rows,
        columns,
        "; ".join(notes),
        tables.norms,
        [*filter(None, [entry(metric)]), *(["verdict"] if notes else [])],
    )


def _changes_steps(key: str) -> bool:
    """Whether runs at two values of ``key`` take steps that mean different amounts of work."""
    return key == "data.batch_size" or key.startswith("training.")


def _cell(row: Any, value: Any, metric: str, budget: float) -> str:
    number_ = row[value]
    if "accuracy" in metric:
        text = percent(number_)
    elif metric == "steps_to_target":
        text = steps(number_, budget)
    else:
        text = count(number_) if float(number_).is_integer() else number(number_)
    verdict, leads = (row.get(name, {}).get(value) for name in ("marks", "may_be_best"))
    marks = mark(verdict) if isinstance(verdict, str) else ""
    marks += MARKS[LEADER] if leads is True else ""
    return f"{text} {marks}" if marks else text
