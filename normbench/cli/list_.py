"""normbench list: what there is to choose from."""

from __future__ import annotations

import importlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from normbench.cli import completion, options
from normbench.conventions import STATES, UNFINISHED_STATES

if TYPE_CHECKING:
    from normbench.report.columns import Column
    from normbench.store import Results

NAME = "list"

UNFINISHED = "unfinished"
CHOICES = (*STATES, UNFINISHED)


class What(StrEnum):
    """What can be listed."""

    norms = "norms"
    models = "models"
    datasets = "datasets"
    exporters = "exporters"
    configs = "configs"
    runs = "runs"


def command(
    what: Annotated[What, typer.Argument(help="What to list.")],
    name: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time
        typer.Argument(
            help="With runs: only those of this experiment.",
            show_default=False,
            autocompletion=completion.experiments,
        ),
    ] = None,
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
    results: options.Results = options.RESULTS,
    json: options.Json = False,
) -> None:
    """List the norms, models, datasets, exporters or bundled configs, or the runs on disk."""
    from normbench.cli.output import print_json
    from normbench.errors import StoreError
    from normbench.report.columns import Column, percent
    from normbench.report.tables import console, rich_table

    unread: list[str] = []
    if what is What.runs:
        rows = _runs(results, name, norm, state, unread)
        columns = [_column(heading) for heading in ("experiment", "run", "state")]
        columns.append(Column("val %", lambda row: percent(row["val_accuracy"])))
    elif name or norm or state:
        raise typer.BadParameter("an experiment, --norm and --state go with `list runs`")
    else:
        rows = _known(what)
        columns = [_column(heading) for heading in ("name", "what")]
    if json:
        print_json({what.value: rows})
    elif rows:
        out = console()
        out.print(rich_table(what.value, rows, columns, out.width))
    else:
        chosen = " of that norm and state" if norm or state else ""
        typer.echo(f"no {what.value}{chosen} in {results}", err=True)
    if unread:
        raise StoreError("\n".join(unread))


def _column(heading: str) -> Column:
    from normbench.report.columns import Column

    return Column(heading, lambda row: str(row[heading]), left=True)


def _known(what: What) -> list[dict[str, str]]:
    from normbench.bundled import bundled
    from normbench.registry import Registry, summary

    if what is What.configs:
        return [{"name": path.stem, "what": _heading(path)} for path in bundled()]
    place, name = {
        What.norms: ("normbench.norms", "NORMS"),
        What.models: ("normbench.models", "MODELS"),
        What.datasets: ("normbench.data", "DATASETS"),
        What.exporters: ("normbench.exporters", "EXPORTERS"),
    }[what]
    registry: Registry[Any] = getattr(importlib.import_module(place), name)
    return [{"name": name, "what": summary(registry[name])} for name in registry]


def _heading(path: Path) -> str:
    """The first comment line of a config says what it is for."""
    return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").strip()


def _runs(
    results: Path, name: str | None, norms: list[str], states: list[str], unread: list[str]
) -> list[dict[str, Any]]:
    """One row a run of one experiment, or of all; those that cannot be read go to ``unread``."""
    from normbench.errors import ConfigError, Problem, StoreError, suggest
    from normbench.store import read_results
    from normbench.store.experiment import experiments

    wrong = [
        Problem("--state", f"unknown state {state!r}", suggest(state, CHOICES))
        for state in states
        if state not in CHOICES
    ]
    if UNFINISHED in states:
        states = [*states, *UNFINISHED_STATES]
    rows: list[dict[str, Any]] = []
    known: set[str] = set()
    for experiment in [name] if name else experiments(results):
        try:
            found = _table(read_results(results, experiment, probes=False))
        except StoreError as error:
            if name:
                raise
            unread.append(str(error))
            continue
        for row in found:
            names = {row["norm"], row["norm"].partition("(")[0]}  # group(groups=8) is a group
            known |= names
            if (not norms or names & set(norms)) and (not states or row["state"] in states):
                rows.append(row)
    wrong += [
        Problem("--norm", f"no run has the norm {norm!r}", suggest(norm, known))
        for norm in norms
        if known and norm not in known
    ]
    if wrong:
        raise ConfigError(wrong)
    return rows


def _table(found: Results) -> list[dict[str, Any]]:
    """One row a run, with all its roles. A diverged run's accuracy is chance, as in every table."""
    runs = found.runs
    if runs.empty:
        return []
    roles = runs.groupby("run", sort=False)["role"].agg("+".join)
    accuracy = runs["val_accuracy"].where(runs["state"] != "diverged", 1 / runs["num_classes"])
    columns = ["experiment", "run", "norm", "seed", "role", "state", "val_accuracy"]
    once = runs.assign(
        experiment=found.name, role=runs["run"].map(roles), val_accuracy=accuracy
    ).drop_duplicates("run")
    return once[columns].to_dict("records")
