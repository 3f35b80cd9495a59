"""normbench claims: statements about normalization, put to the test."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from normbench.cli import options

NAME = "claims"

RUN_FAILED = 1


def command(
    config: options.Config = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Small networks on the digits: minutes in place of hours."),
    ] = False,
    only: Annotated[
        list[int],
        typer.Option(
            "--only",
            metavar="NUMBER",
            help="Only the statement with this number. Repeatable.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="Also the evidence and what reproduces it."),
    ] = False,
    set_: options.Set = [],  # noqa: B006
    results: options.Results = options.RESULTS,
    data_dir: options.DataDir = None,
    jobs: options.Jobs = None,
    executor: options.Executor = "local",
    ray_address: options.RayAddress = None,
    json: options.Json = False,
    form: options.TableFormat = options.Format.table,
    quiet: options.Quiet = False,
) -> None:
    """Put statements about normalization to the test on your network.

    Each gets a verdict, on what it depends, and with -v the numbers and the command that reproduces
    them. The same command continues what was interrupted and trains nothing twice.
    """
    from normbench.api import claims
    from normbench.cli.output import print_json
    from normbench.progress.live import Display
    from normbench.report.claims import print_claims

    with Display(quiet=quiet) as display:
        found = claims(
            config,
            overrides=set_,
            quick=quick,
            only=only,
            results=results,
            data_dir=data_dir,
            jobs=jobs,
            executor=executor,
            ray_address=ray_address,
            watch=display,
            progress=display.loading,
            note=display.note,
            say=(lambda _: None)
            if quiet
            else lambda text: display.console.print(text, markup=False),
        )
    for run, reason in found.failed:
        typer.echo(f"failed: {run.folder}: {reason}", err=True)
    if found.stopped:
        typer.echo("interrupted; the same command continues", err=True)
        raise typer.Exit(128 + (found.signal or signal.SIGINT))
    if json:
        print_json(found.to_dict())
    else:
        print_claims(found.to_dict(), form.value, verbose=verbose)
    if found.failed:
        raise typer.Exit(RUN_FAILED)
