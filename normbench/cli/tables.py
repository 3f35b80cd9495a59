"""Prints comparisons to stdout, as ``train`` and ``compare`` do."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import typer
from rich.text import Text

from normbench.cli.options import RESULTS, Format
from normbench.cli.output import print_json
from normbench.report.answer import Answer, answer, to_dict
from normbench.report.exchanged import layer_sections, pytorch_line, slot_sections
from normbench.report.recommendation import Recommendation
from normbench.report.sections import Section, by_key, pairs_section, sections, side_by_side
from normbench.report.summary import long_table, summary
from normbench.report.tables import console, plain_table, rich_table
from normbench.report.wording import joined
from normbench.results.differences import differing_keys
from normbench.results.experiment import ExperimentResult
from normbench.results.records import records

TITLE_MARKS = {Format.csv: "#", Format.markdown: "###", Format.latex: "%"}


def print_comparison(
    comparison: ExperimentResult,
    *,
    json: bool,
    form: Format,
    all_pairs: bool = False,
    full: bool = False,
    results: Path = RESULTS,
) -> None:
    """Print what an experiment says: its sentences, one table, and what was equal.

    full: every table besides. all_pairs: also every two norms. A form for other programs prints the
    one table alone. Raises StoreError when there is no finished run to tabulate, or when the norms
    were not compared on equal terms (after everything is printed).
    """
    if comparison.outcome is None:  # after training, that all runs failed is the result
        comparison.require_outcomes()
    conclusion = answer(comparison)
    if json:
        print_json(to_dict(comparison, conclusion, all_pairs=all_pairs))
        comparison.require_fairness()
        return
    if form is Format.table:
        print_answer(conclusion)
    first = [long_table(conclusion)] if form is Format.csv else summary(conclusion)
    more = _more(comparison, conclusion, full=full, all_pairs=all_pairs)
    print_sections([*first, *more], form)
    if form is Format.table:
        _footer(comparison, conclusion, results)
    comparison.require_fairness()


def print_recommendation(
    recommendation: Recommendation, *, json: bool, results: Path = RESULTS
) -> None:
    """Print what ``print_comparison`` does, and below it what is open and what was spent."""
    if json:
        print_json(recommendation.to_dict())
        return
    if recommendation.sentences:
        print_comparison(recommendation.comparison, json=False, form=Format.table, results=results)
    out = console()
    for text in recommendation.after:
        lines = textwrap.fill(
            text, out.width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False
        )
        out.print(Text(lines), soft_wrap=not out.is_terminal)


def print_answer(conclusion: Answer) -> None:
    """The sentences, the first one bold, and below them what to know before believing them."""
    out = console()
    first, *others = conclusion.sentences
    out.print(Text(first, style="bold"))
    for sign, style, texts in (("- ", "", others), ("! ", "yellow", conclusion.caveats)):
        for text in texts:
            lines = textwrap.fill(
                text, out.width, initial_indent=sign, subsequent_indent="  ", break_on_hyphens=False
            )
            out.print(Text(lines, style=style))
    out.print()


def _more(
    comparison: ExperimentResult, conclusion: Answer, *, full: bool, all_pairs: bool
) -> Iterator[Section]:
    """The tables that are asked for besides the one below the sentences."""
    if full:
        yield from sections(comparison, all_pairs=all_pairs)
        yield from layer_sections(comparison)
    elif all_pairs:
        tables = (comparison.best if conclusion.tuned_key else None) or comparison.reported
        norms = comparison.reported.norms
        yield pairs_section(tables, comparison.name, norms, all_pairs=True)


def _footer(comparison: ExperimentResult, conclusion: Answer, results: Path) -> None:
    """What was equal, what to write, where the results are, and what one would type next."""
    out = console()
    free = ["the norm", *filter(None, [comparison.tuned_key if comparison.best else None])]
    same = f"; data, optimizer and budget by one config, all but {joined(free)}"
    equal = comparison.fairness.equal_terms
    out.print(Text(comparison.fairness_text(same if equal else ""), style="dim"))
    if line := pytorch_line(comparison, conclusion):
        out.print(Text(line), soft_wrap=not out.is_terminal)
    option = "" if results == RESULTS else f" --results {results}"
    lines = [f"results: {comparison.results.path}"]
    lines += [f"next: normbench compare {comparison.name} --full{option}"]
    lines += [f"      normbench report {comparison.name}{option}"]
    if line:
        norm = conclusion.recommended or conclusion.open_leader
        lines += [
            f"      normbench compare {comparison.name} --swap {shlex.quote(str(norm))}{option}"
        ]
    for line in lines:
        out.print(Text(line, style="dim"), soft_wrap=not out.is_terminal)


def print_by(
    comparison: ExperimentResult, by: str, metric: str, *, json: bool, form: Format
) -> None:
    """Print one metric against one sweep key, of tuned norms also at their own best values.

    Raises ConfigError, StoreError.
    """
    comparison.require_outcomes()
    reference = comparison.value(by)
    section = by_key(comparison, by, metric, reference)
    beside = comparison.best is not None and comparison.shared is not None
    best = by_key(comparison, by, metric, reference, best=True) if beside else None
    if json:
        out = {"experiment": comparison.name, "by": by, "metric": metric}
        rows = {"rows": records(section.rows)}
        print_json({**out, **rows, **({"best": records(best.rows)} if best else {})})
    else:
        print_sections([section, *([best] if best else [])], form)


def print_swap(comparison: ExperimentResult, norm: str, *, json: bool, form: Format) -> None:
    """Print what to write for ``norm`` in plain PyTorch, slot by slot.

    Raises ConfigError, StoreError.
    """
    shown = list(slot_sections(comparison, norm))
    if json:
        swaps = comparison.swaps
        assert swaps is not None  # else there are no sections
        told = swaps.to_dict()
        own = {
            "swapped": told["swapped"].get(norm, []),
            "kept": told["kept"],
            "reinitialized": told["reinitialized"].get(norm, []),
        }
        print_json({"experiment": comparison.name, "norm": norm, **own})
        return
    if form is Format.table and shown[0].rows.empty:
        typer.echo(f"under {norm} the norms stay as they are in the network")
    print_sections(shown, form)


def print_side_by_side(
    comparisons: Sequence[ExperimentResult], *, json: bool, form: Format
) -> None:
    """Print the convergence of several experiments in one table, and what differs between them.

    Raises ConfigError when they cannot be compared.
    """
    for comparison in comparisons:
        comparison.require_outcomes()
    differing = differing_keys(comparisons)
    if json:
        objects = [to_dict(comparison, answer(comparison)) for comparison in comparisons]
        print_json({"experiments": objects, "differing": differing})
        return
    if form is Format.table:
        out = console()
        for comparison in comparisons:
            first = answer(comparison).sentences[0]
            out.print(Text.assemble((f"{comparison.name}: ", "bold"), first))
        out.print()
    print_sections([side_by_side(comparisons)], form)
    if form is Format.table:
        for key, values in differing.items():
            shown = ", ".join(f"{name}: {value}" for name, value in values.items())
            out.print(f"differs in {key}: {shown}", style="dim", markup=False)


def print_sections(tables: Iterable[Section], form: Format) -> None:
    """Print each table that has rows, in the form asked for.

    A single table is nothing but that; each of several begins with a line that is its title.
    """
    out = console()
    shown = [section for section in tables if len(section.rows)]
    for section in shown:
        title, rows, columns = section.title, section.rows, section.columns
        if form is Format.table:
            note, norms, bold = section.note, section.norms, section.bold
            out.print(rich_table(title, rows, columns, out.width, note, norms, bold))
            continue
        if len(shown) > 1:
            typer.echo(f"{TITLE_MARKS[form]} {title}" + "\n" * (form is not Format.csv))
        # A single table is nothing but the table; several are apart by a blank line.
        typer.echo(plain_table(rows, columns, form.value), nl=len(shown) > 1)
