"""normbench list: what there is to choose from."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from normbench.cli import options

NAME = "list"


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
    results: options.Results = options.RESULTS,
    json: options.Json = False,
) -> None:
    """List the norms, models, datasets, exporters or bundled configs, or the runs on disk."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from normbench.report.tables import console
    from normbench.store.files import to_json

    rows = _runs(results) if what is What.runs else _known(what)
    if json:
        typer.echo(to_json({"schema": 1, what.value: rows}))
        return
    if not rows:
        typer.echo(f"no {what.value} in {results}", err=True)
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for heading in rows[0]:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(value)) for value in row.values()))
    console().print(table)


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


def _runs(results: Path) -> list[dict[str, str]]:
    from normbench.store import read_results
    from normbench.store.experiment import experiments

    rows = []
    for name in experiments(results):
        for run in read_results(results, name, probes=False).runs.to_dict("records"):
            row = {"experiment": name, "run": run["run"], "state": run["state"]}
            accuracy = run["val_accuracy"]
            row["val %"] = f"{100 * accuracy:.1f}" if accuracy == accuracy else "–"
            rows.append(row)
    return rows
