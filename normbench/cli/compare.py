"""normbench compare: the tables of an experiment, without training."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from normbench.cli import completion, options

NAME = "compare"


def command(
    names: Annotated[
        list[str],
        typer.Argument(
            help="The experiment, as its config names it; several stand side by side.",
            autocompletion=completion.experiments,
        ),
    ],
    results: options.Results = options.RESULTS,
    all_pairs: Annotated[
        bool,
        typer.Option("--all-pairs", help="Compare every two norms, not only with the baseline."),
    ] = False,
    baseline: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--baseline",
            metavar="NORM",
            help="Hold the norms against this one instead of the config's baseline.",
            show_default=False,
        ),
    ] = None,
    full: options.Full = False,
    by: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--by",
            metavar="KEY",
            help="Spread one metric over the values of a swept key, such as model.depth.",
            show_default=False,
            autocompletion=completion.swept,
        ),
    ] = None,
    metric: Annotated[
        str, typer.Option("--metric", help="The metric of --by: a column of the JSON output.")
    ] = "val_accuracy",
    json: options.Json = False,
    form: options.TableFormat = options.Format.table,
) -> None:
    """Print what experiments say that were trained before: the answer, then one table."""
    from normbench.api import compare
    from normbench.cli.tables import print_by, print_comparison, print_side_by_side

    if len(names) > 1 and (by is not None or all_pairs or full or baseline):
        raise typer.BadParameter("--by, --all-pairs, --full and --baseline go with one experiment")
    comparisons = [compare(name, results=results) for name in names]
    if baseline is not None:
        comparisons = [comparison.against(baseline) for comparison in comparisons]
    if by is not None:
        print_by(comparisons[0], by, metric, json=json, form=form)
    elif len(comparisons) > 1:
        print_side_by_side(comparisons, json=json, form=form)
    else:
        print_comparison(
            comparisons[0], json=json, form=form, all_pairs=all_pairs, full=full, results=results
        )
