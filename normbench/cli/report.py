"""normbench report: an experiment as a page, or its charts as pictures."""

from __future__ import annotations

import webbrowser
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
    names: options.Experiments = [],  # noqa: B006
    results: options.Results = options.RESULTS,
    form: Annotated[
        Form, typer.Option("--format", help="One page, or each chart as a picture.")
    ] = Form.html,
    out: Annotated[
        Optional[Path],  # noqa: UP045 - typer reads it at run time
        typer.Option(
            "--out",
            metavar="PATH",
            help="Where to: the page's file or folder, or the pictures' folder. "
            "Default: report.html, or charts/, in the experiment's results.",
            show_default=False,
        ),
    ] = None,
    data_dir: options.DataDir = None,
    open_: Annotated[
        bool, typer.Option("--open", help="Open the page in the browser when it is written.")
    ] = False,
    json: options.Json = False,
) -> None:
    """Write a page that tells what came out, complete in one file, or its charts as pictures.

    The paths written go to stdout.
    """
    from normbench.cli.chosen import chosen
    from normbench.cli.output import print_json
    from normbench.report.files import write
    from normbench.results.load import load_each

    if open_ and form is not Form.html:
        raise typer.BadParameter("--open goes with a page, not with pictures")
    stores = chosen(names, results)
    comparisons = load_each([str(store.path) for store in stores], results)
    files = write(comparisons, form.value, stores[0].results, out, data_dir)
    if json:
        print_json({"files": [str(path) for path in files]})
    else:
        typer.echo("\n".join(map(str, files)))
    if open_ and not webbrowser.open(files[0].resolve().as_uri()):
        typer.echo(f"no browser could be started; open {files[0]} in one", err=True)
    for comparison in comparisons:  # once the paths of what was written are told
        comparison.require_fairness()
