"""normbench export: an experiment as files for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from normbench.cli import completion, options

NAME = "export"


def command(
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="FORMAT",
            help="csv, parquet, tensorboard: see `list exporters`.",
            autocompletion=completion.exporters,
        ),
    ],
    name: options.Experiment = None,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(
            "--out",
            metavar="DIR",
            help="A new or empty folder, or an earlier export, which is replaced. "
            "Default: export/FORMAT in the experiment's own folder.",
            show_default=False,
        ),
    ] = None,
    results: options.Results = options.RESULTS,
    json: options.Json = False,
) -> None:
    """Write an experiment's runs, curves and probes for other tools; print the files.

    csv, parquet: the tables runs, curves and probes, and columns, which explains them.

    tensorboard: one log folder a run, for `tensorboard --logdir DIR`.
    """
    from normbench.api import export
    from normbench.cli.chosen import chosen
    from normbench.cli.output import print_json

    (store,) = chosen([name] if name else [], results)
    files = export(store.name, to, out=out, results=store.results)
    if json:
        paths = [str(path) for path in files]
        print_json({"experiment": store.name, "format": to, "files": paths})
    else:
        typer.echo("\n".join(map(str, files)))
