"""Prints a comparison to stdout, as ``train`` and ``compare`` do."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import typer

from normbench.analysis.fairness import Fairness
from normbench.cli.options import Format
from normbench.comparison import Comparison, Tables
from normbench.errors import StoreError
from normbench.report.columns import (
    Column,
    comparison_columns,
    convergence_columns,
    gradient_columns,
    percent,
)
from normbench.report.tables import console, plain_table, rich_table
from normbench.store.files import to_json

Section = tuple[str, pd.DataFrame, list[Column], str]


def print_comparison(
    comparison: Comparison, *, json: bool, form: Format, all_pairs: bool = False
) -> None:
    """Print all tables in the form asked for, and then the fairness line.

    Raises StoreError when there is no finished run to tabulate, or when the norms were not
    compared on equal terms (after everything is printed).
    """
    _require_outcomes(comparison)
    if json:
        typer.echo(to_json(comparison.to_dict(all_pairs=all_pairs)))
    elif form is Format.table:
        out = console()
        for title, frame, columns, note in sections(comparison, all_pairs=all_pairs):
            if len(frame):
                out.print(rich_table(title, frame, columns, out.width, note))
        out.print(fairness_line(comparison.fairness), style="dim")
    else:
        for title, frame, columns, _ in sections(comparison, all_pairs=all_pairs):
            if len(frame):
                if form is not Format.csv:
                    typer.echo(f"{'%' if form is Format.latex else '###'} {title}\n")
                typer.echo(plain_table(frame, columns, form.value))
    if not (comparison.fairness.backbones_identical and comparison.fairness.batches_identical):
        raise StoreError(fairness_line(comparison.fairness))


def sections(comparison: Comparison, *, all_pairs: bool = False) -> Iterator[Section]:
    """(title, rows, columns, note) of every table, in reading order."""
    yield from _tables(comparison.reported, comparison.name, all_pairs)


def _tables(tables: Tables, name: str, all_pairs: bool) -> Iterator[Section]:
    keys = tables.results.keys
    target = f"{percent(tables.targets[0])}%"
    yield (
        f"{name}: convergence",
        tables.convergence,
        convergence_columns(keys, target),
        "± is the standard deviation over seeds; after a divergence accuracy counts as chance",
    )
    yield (
        f"{name}: gradients",
        tables.gradients,
        gradient_columns(keys),
        "norm of dL/dz by hidden layer; growth: of its square, per layer toward the input "
        "(1 preserves, below 1 vanishes, above 1 explodes)",
    )
    yield (
        f"{name}: paired comparison with {tables.baseline}",
        tables.paired(all_pairs=all_pairs),
        comparison_columns(keys, all_pairs=all_pairs),
        "paired by seed; a miss counts as the budget in the difference and as infinite in the test",
    )


def fairness_line(fairness: Fairness) -> str:
    """One line: identical, or which run differs."""
    if not fairness.compared:
        return "fairness: no two runs share a seed, so nothing could be compared"
    if fairness.backbones_identical and fairness.batches_identical:
        return (
            f"fairness: backbones and batch orders are identical across norms "
            f"({fairness.compared} runs compared)"
        )
    what = [
        word
        for word, same in (
            ("backbone", fairness.backbones_identical),
            ("batch order", fairness.batches_identical),
        )
        if not same
    ]
    return f"fairness: {' and '.join(what)} differ in {', '.join(fairness.differing)}"


def _require_outcomes(comparison: Comparison) -> None:
    runs = comparison.reported.results.runs
    if runs["state"].isin(["finished", "diverged"]).any():
        return
    states = ", ".join(f"{n} {state}" for state, n in runs["state"].value_counts().items())
    reasons = sorted(set(comparison.results.reasons.values()))
    detail = "".join(f"\n    {reason}" for reason in reasons[:5])
    raise StoreError(
        f"experiment {comparison.name!r} has no finished run ({states}){detail}\n"
        "    `normbench train` with its config trains or continues them"
    )
