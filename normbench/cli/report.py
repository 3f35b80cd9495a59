"""normbench report: an experiment as a page, or its charts as pictures."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Optional

import typer

from normbench.cli import options

NAME = "report"


class Form(StrEnum):
    """What a report is written as."""

    html = "html"
    png = "png"
    svg = "svg"


def command(
    names: Annotated[
        list[str],
        typer.Argument(help="The experiment, as its config names it; several stand side by side."),
    ],
    results: options.Results = options.RESULTS,
    form: Annotated[
        Form, typer.Option("--format", help="One page, or each chart as a picture.")
    ] = Form.html,
    out: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time
        typer.Option(
            "--out",
            metavar="PATH",
            help="Where to: the page's file, or the pictures' folder. "
            "Default: report.html, or charts/, in the experiment's results.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
) -> None:
    """Write a page that tells what came out, complete in one file, or its charts as pictures.

    The paths written go to stdout.
    """
    from normbench.api import report
    from normbench.store.files import to_json

    files = report(names, results=results, form=form.value, out=out)
    if json:
        typer.echo(to_json({"schema": 1, "files": [str(path) for path in files]}))
        return
    for path in files:
        typer.echo(path)
