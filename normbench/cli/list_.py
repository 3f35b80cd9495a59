"""normbench list: what there is to choose from, and what was trained."""

from __future__ import annotations

import importlib
import textwrap
import time
from enum import StrEnum
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from normbench.cli import completion, options
from normbench.constants import STATES, UNFINISHED_STATES

if TYPE_CHECKING:
    from normbench.report.columns import Column

NAME = "list"

UNFINISHED = "unfinished"
CHOICES = (*STATES, UNFINISHED)


class What(StrEnum):
    """What can be listed."""

    norms = "norms"
    theory = "theory"
    models = "models"
    datasets = "datasets"
    exporters = "exporters"
    configs = "configs"
    experiments = "experiments"
    runs = "runs"


def command(
    what: Annotated[What, typer.Argument(help="What to list.")],
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME",
            help="With runs: of these experiments, by name or folder; without, the last one "
            "trained. With norms: a page on each of these.",
            show_default=False,
            autocompletion=completion.experiments,
        ),
    ] = [],  # noqa: B006
    every: Annotated[
        bool, typer.Option("--all", help="With runs: those of every experiment.")
    ] = False,
    norm: Annotated[
        list[str],
        typer.Option(
            "--norm",
            metavar="NAME",
            help="With runs: only those of this norm or kind of norm. Repeatable.",
            show_default=False,
            autocompletion=completion.norms,
        ),
    ] = [],  # noqa: B006
    state: Annotated[
        list[str],
        typer.Option(
            "--state",
            metavar="STATE",
            help=f"With runs: only those that are {', '.join(CHOICES)}. Repeatable.",
            show_default=False,
            autocompletion=lambda: list(CHOICES),
        ),
    ] = [],  # noqa: B006
    trait: Annotated[
        list[str],
        typer.Option(
            "--trait",
            metavar="KEY=VALUE",
            help="With norms: only those of which this holds, such as batch_dependent, year=2025 "
            "or replaces=weight. Repeatable.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    form: Annotated[
        options.Format,
        typer.Option(
            "--format", help="With norms and theory: markdown prints the page of the documentation."
        ),
    ] = options.Format.table,
    results: options.Results = options.RESULTS,
    json: options.Json = False,
) -> None:
    """List norms, models, datasets, exporters, bundled configs; or experiments and runs on disk."""
    from normbench.cli.output import print_json
    from normbench.errors import StoreError
    from normbench.report.tables import console, rich_table
    from normbench.store import results_folder
    from normbench.store.experiment import absolute

    unread: list[str] = []
    folder = results_folder(results)
    if what is What.norms and not (norm or state or every):
        _norms(names, trait, form, json)
        return
    if what is What.theory and not (names or norm or state or every or trait):
        _theory(form, json)
        return
    if trait or form is not options.Format.table:
        raise typer.BadParameter(
            "--trait and --format go with `list norms` (--format with `list theory` as well)"
        )
    if what is not What.runs and (names or norm or state or every):
        raise typer.BadParameter("experiments, --all, --norm and --state go with `list runs`")
    if every and names:
        raise typer.BadParameter("--all lists the runs of every experiment; name none")
    if what is What.runs:
        rows, columns = _runs(folder, names, every, norm, state, unread)
    elif what is What.experiments:
        from normbench.report.listing import experiment_columns, experiment_rows

        rows, columns = experiment_rows(folder, time.time(), unread), experiment_columns()
    else:
        rows, columns = _known(what), [_column(heading) for heading in ("name", "what")]
    if json:
        print_json({what.value: rows})
    elif rows:
        out = console()
        out.print(rich_table(what.value, rows, columns, out.width))
    elif not unread:
        chosen = " of that norm and state" if norm or state else ""
        typer.echo(f"no {what.value}{chosen} in {absolute(folder)}", err=True)
    if unread:
        raise StoreError("\n".join(unread))


def _theory(form: options.Format, json: bool) -> None:
    """What theory says of every method, or the documentation's page of it."""
    from normbench.cli.output import print_json
    from normbench.report import theory
    from normbench.report.tables import console, rich_table

    if form is options.Format.markdown:
        typer.echo(theory.markdown(), nl=False)
        return
    if form is not options.Format.table:
        raise typer.BadParameter("`list theory` is a table, or a page of markdown")
    rows = theory.rows()
    if json:
        print_json({"theory": rows})
        return
    columns = [_column(key) for key in theory.HEADINGS]
    out = console()
    out.print(rich_table("theory", rows, columns, out.width))


def _norms(names: list[str], traits: list[str], form: options.Format, json: bool) -> None:
    """The table of methods, a page on each that is named, or the documentation's page of all."""
    from normbench.cli.output import print_json
    from normbench.errors import ConfigError, Problem
    from normbench.norms import NORMS, catalog
    from normbench.registry import UnknownName
    from normbench.report.columns import Column
    from normbench.report.tables import console, rich_table

    try:
        names = [NORMS.canonical(name) for name in names]
        rows = [catalog.row(name) for name in names] if names else catalog.rows(traits)
    except UnknownName as error:
        raise ConfigError([Problem("norms", error.message, error.hint)]) from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    out = console()
    if json:
        whole = [{**row, "what": summary_of(row["name"])} for row in rows]
        print_json({"norms": whole})
    elif names:
        for name in names:
            out.print(name, style="bold")
            for key, text in catalog.page(name):
                for part in text.split("\n\n"):
                    body = textwrap.fill(
                        " ".join(part.split()), out.width, initial_indent="    ",
                        subsequent_indent="    ", break_on_hyphens=False,
                    )  # fmt: skip
                    head, key = (f"  {key}\n" if key else ""), ""
                    out.print(f"{head}{body}", markup=False, highlight=False, soft_wrap=True)
    elif form is options.Format.markdown:
        typer.echo(catalog.markdown(), nl=False)
    elif form is not options.Format.table:
        raise typer.BadParameter("norms are printed as table or markdown")
    elif not rows:
        typer.echo("no norm of those traits", err=True)
    else:
        weights = {"paper": 5, "state": 4, "parameters": 3, "train_differs": 2, "year": 1}
        columns = [
            Column(heading, itemgetter(key), weight=weights.get(key, 0), left=True)
            for key, heading in catalog.HEADINGS.items()
        ]
        out.print(rich_table("norms", rows, columns, out.width))


def summary_of(name: str) -> str:
    """The first line on a norm."""
    from normbench.norms import NORMS
    from normbench.registry import summary

    return summary(NORMS[name])


def _column(heading: str) -> Column:
    from normbench.report.columns import Column

    return Column(heading, lambda row: str(row[heading]), left=True)


def _known(what: What) -> list[dict[str, str]]:
    from normbench.bundled import bundled, bundled_for_claims
    from normbench.registry import Registry, summary

    if what is What.configs:
        known = {path.stem: path for path in bundled()} | bundled_for_claims()
        return [{"name": name, "what": _heading(path)} for name, path in known.items()]
    module, name = {
        What.norms: ("normbench.norms", "NORMS"),
        What.models: ("normbench.models", "MODELS"),
        What.datasets: ("normbench.data", "DATASETS"),
        What.exporters: ("normbench.exporters", "EXPORTERS"),
    }[what]
    registry: Registry[Any] = getattr(importlib.import_module(module), name)
    return [{"name": name, "what": summary(registry[name])} for name in registry]


def _heading(path: Path) -> str:
    """The first comment line of a config says what it is for."""
    return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").strip()


def _runs(
    results: Path,
    names: list[str],
    every: bool,
    norms: list[str],
    states: list[str],
    unread: list[str],
) -> tuple[list[dict[str, Any]], list[Column]]:
    """One row a run, and the table's columns; experiments that cannot be read go to ``unread``."""
    from normbench.cli.chosen import chosen
    from normbench.errors import ConfigError, Problem, StoreError, suggest
    from normbench.report.listing import run_columns, run_rows
    from normbench.store import ExperimentStore, read_results
    from normbench.store.experiment import experiments

    wrong = [
        Problem("--state", f"unknown state {state!r}", suggest(state, CHOICES))
        for state in states
        if state not in CHOICES
    ]
    if UNFINISHED in states:
        states = [*states, *UNFINISHED_STATES]
    if every:
        stores = [ExperimentStore(results, name) for name in experiments(results)]
    else:
        stores = chosen(names, results)
    rows: list[dict[str, Any]] = []
    keys: dict[str, None] = {}
    known: set[str] = set()
    for store in stores:
        try:
            saved = read_results(store.results, store.name, probes=False)
        except StoreError as error:
            if not every:
                raise
            unread.append(str(error))
            continue
        keys |= dict.fromkeys(saved.keys)
        for row in run_rows(saved):
            kinds = {row["norm"], row["norm"].partition("(")[0]}  # group(groups=8) is a group
            known |= kinds
            if (not norms or kinds & set(norms)) and (not states or row["state"] in states):
                rows.append(row)
    wrong += [
        Problem("--norm", f"no run has the norm {norm!r}", suggest(norm, known))
        for norm in norms
        if known and norm not in known
    ]
    if wrong:
        raise ConfigError(wrong)
    return rows, run_columns(rows, list(keys), time.time())
