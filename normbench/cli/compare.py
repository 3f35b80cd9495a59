"""normbench compare: the tables of an experiment, without training."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from normbench.cli import completion, options

NAME = "compare"


def command(
    names: options.Experiments = [],  # noqa: B006
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
        Optional[str],  # noqa: UP045
        typer.Option(
            "--metric",
            help="The metric of --by: a column of the JSON output, by default val_accuracy.",
            show_default=False,
        ),
    ] = None,
    swap: Annotated[
        Optional[str],  # noqa: UP045
        typer.Option(
            "--swap",
            metavar="NORM",
            help="What to write for this norm in plain PyTorch, slot by slot.",
            show_default=False,
        ),
    ] = None,
    json: options.Json = False,
    form: options.TableFormat = options.Format.table,
) -> None:
    """Print what experiments say that were trained before: the answer, then one table."""
    from normbench.api import compare
    from normbench.cli.chosen import chosen
    from normbench.cli.tables import print_by, print_comparison, print_side_by_side, print_swap

    if len(names) > 1 and (by is not None or all_pairs or full or baseline or swap):
        told = "--by, --all-pairs, --full, --baseline and --swap go with one experiment"
        raise typer.BadParameter(told)
    if metric is not None and by is None:
        raise typer.BadParameter("--metric goes with --by KEY: what is spread over its values")
    stores = chosen(names, results)
    comparisons = [compare(store.name, results=store.results) for store in stores]
    if baseline is not None:
        comparisons = [comparison.against(baseline) for comparison in comparisons]
    if swap is not None:
        print_swap(comparisons[0], swap, json=json, form=form)
    elif by is not None:
        print_by(comparisons[0], by, metric or "val_accuracy", json=json, form=form)
    elif len(comparisons) > 1:
        print_side_by_side(comparisons, json=json, form=form)
    else:
        print_comparison(
            comparisons[0],
            json=json,
            form=form,
            all_pairs=all_pairs,
            full=full,
            results=stores[0].results,
        )
