"""normbench list: what there is to choose from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from normbench.cli import completion, options

NAME = "list"

UNFINISHED = ("interrupted", "running", "missing")
STATES = ("finished", "diverged", "failed", *UNFINISHED, "unfinished")


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
            help="With runs: only those of this norm. Repeatable.",
            show_default=False,
            autocompletion=completion.norms,
        ),
    ] = [],  # noqa: B006
    state: Annotated[
        list[str],
        typer.Option(
            "--state",
            metavar="STATE",
            help=f"With runs: only those that are {', '.join(STATES)}. Repeatable.",
            show_default=False,
            autocompletion=lambda: list(STATES),
        ),
    ] = [],  # noqa: B006
    results: options.Results = options.RESULTS,
    json: options.Json = False,
) -> None:
    """List the norms, models, datasets, exporters or bundled configs, or the runs on disk."""
    import pandas as pd

    from normbench.report.columns import Column
    from normbench.report.tables import console, rich_table
    from normbench.store.files import to_json

    if what is What.runs:
        rows = _runs(results, name, norm, state)
    elif name or norm or state:
        raise typer.BadParameter("an experiment, --norm and --state go with `list runs`")
    else:
        rows = _known(what)
    if json:
        typer.echo(to_json({"schema": 1, what.value: rows}))
        return
    if not rows:
        chosen = " of that norm and state" if norm or state else ""
        typer.echo(f"no {what.value}{chosen} in {results}", err=True)
        return
    columns = [
        Column(heading, lambda row, key=heading: str(row[key]), left=True)  # type: ignore[misc]
        for heading in rows[0]
    ]
    out = console()
    out.print(rich_table(what.value, pd.DataFrame(rows), columns, out.width))


def _known(what: What) -> list[dict[str, str]]:
    from normbench.config import bundled
    from normbench.data import DATASETS
    from normbench.exporters import EXPORTERS
    from normbench.models import MODELS
    from normbench.norms import NORMS
    from normbench.registry import Registry, summary

    if what is What.configs:
        return [{"name": path.stem, "what": _heading(path)} for path in bundled()]
    registries: dict[What, Registry[Any]] = {
        What.norms: NORMS,
        What.models: MODELS,
        What.datasets: DATASETS,
        What.exporters: EXPORTERS,
    }
    registry = registries[what]
    return [{"name": name, "what": summary(registry[name])} for name in registry]


def _heading(path: Path) -> str:
    """The first comment line of a config says what it is for."""
    return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").strip()


def _runs(
    results: Path, name: str | None, norms: list[str], states: list[str]
) -> list[dict[str, str]]:
    from normbench.errors import ConfigError, Problem, suggest
    from normbench.store import read_results
    from normbench.store.experiment import experiments

    wrong = [
        Problem("--state", f"unknown state {state!r}", suggest(state, STATES))
        for state in states
        if state not in STATES
    ]
    if "unfinished" in states:
        states = [*states, *UNFINISHED]
    rows, known = [], set()
    for experiment in [name] if name else experiments(results):
        for run in read_results(results, experiment, probes=False).runs.to_dict("records"):
            known.add(run["norm"])
            row = {"experiment": experiment, "run": run["run"], "state": run["state"]}
            accuracy = run["val_accuracy"]
            row["val %"] = f"{100 * accuracy:.1f}" if accuracy == accuracy else "–"
            if (not norms or run["norm"] in norms) and (not states or run["state"] in states):
                rows.append(row)
    wrong += [
        Problem("--norm", f"no run has the norm {norm!r}", suggest(norm, known))
        for norm in norms
        if known and norm not in known
    ]
    if wrong:
        raise ConfigError(wrong)
    return rows
