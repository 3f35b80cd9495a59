"""Prints comparisons to stdout, as ``train`` and ``compare`` do."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import typer

from normbench.analysis.fairness import fairness_line
from normbench.cli.options import Format
from normbench.cli.output import print_json
from normbench.comparison import Comparison, differing_keys, records
from normbench.report.sections import Section, by_key, sections, side_by_side
from normbench.report.tables import console, plain_table, rich_table

TITLE_MARKS = {Format.csv: "#", Format.markdown: "###", Format.latex: "%"}


def print_comparison(
    comparison: Comparison, *, json: bool, form: Format, all_pairs: bool = False
) -> None:
    """Print all tables in the form asked for, and then the fairness line.

    Raises StoreError when there is no finished run to tabulate, or when the norms were not
    compared on equal terms (after everything is printed).
    """
    if comparison.outcome is None:  # after training, that all runs failed is the result
        comparison.require_outcomes()
    if json:
        print_json(comparison.to_dict(all_pairs=all_pairs))
    else:
        print_sections(sections(comparison, all_pairs=all_pairs), form)
        if form is Format.table:
            console().print(fairness_line(comparison.fairness), style="dim")
    comparison.require_fairness()


def print_by(comparison: Comparison, by: str, metric: str, *, json: bool, form: Format) -> None:
    """Print one metric against one sweep key. Raises ConfigError, StoreError."""
    comparison.require_outcomes()
    section = by_key(comparison, by, metric, comparison.value(by))
    if json:
        out = {"experiment": comparison.name, "by": by, "metric": metric}
        print_json({**out, "rows": records(section.rows)})
    else:
        print_sections([section], form)


def print_side_by_side(comparisons: Sequence[Comparison], *, json: bool, form: Format) -> None:
    """Print the convergence of several experiments in one table, and what differs between them.

    Raises ConfigError when they cannot be compared.
    """
    for comparison in comparisons:
        comparison.require_outcomes()
    differing = differing_keys(comparisons)
    if json:
        objects = [comparison.to_dict() for comparison in comparisons]
        print_json({"experiments": objects, "differing": differing})
        return
    print_sections([side_by_side(comparisons)], form)
    if form is Format.table:
        out = console()
        for key, values in differing.items():
            shown = ", ".join(f"{name}: {value}" for name, value in values.items())
            out.print(f"differs in {key}: {shown}", style="dim", markup=False)


def print_sections(tables: Iterable[Section], form: Format) -> None:
    """Print each table that has rows, in the form asked for.

    A single CSV table is nothing but CSV; each of several begins with a line ``# title``.
    """
    out = console()
    shown = [section for section in tables if len(section.rows)]
    for title, rows, columns, note, norms, _ in shown:
        if form is Format.table:
            out.print(rich_table(title, rows, columns, out.width, note, norms))
            continue
        if form is not Format.csv or len(shown) > 1:
            typer.echo(f"{TITLE_MARKS[form]} {title}" + "\n" * (form is not Format.csv))
        typer.echo(plain_table(rows, columns, form.value))
