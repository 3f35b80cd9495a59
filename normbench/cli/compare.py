"""normbench compare: the tables of an experiment, without training."""

from __future__ import annotations

from typing import Annotated

import typer

from normbench.cli import options

NAME = "compare"


def command(
    name: Annotated[str, typer.Argument(help="The experiment, as its config names it.")],
    results: options.Results = options.RESULTS,
    all_pairs: Annotated[
        bool,
        typer.Option("--all-pairs", help="Compare every two norms, not only with the baseline."),
    ] = False,
    json: options.Json = False,
    form: options.TableFormat = options.Format.table,
) -> None:
    """Print the tables of an experiment that was trained before."""
    from normbench.api import compare
    from normbench.cli.tables import print_comparison

    print_comparison(compare(name, results=results), json=json, form=form, all_pairs=all_pairs)
