"""normbench claims: statements about normalization, put to the test."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from normbench.cli import completion, options

if TYPE_CHECKING:
    from normbench.claims import Claims
    from normbench.claims.chosen import Chosen

NAME = "claims"


def command(
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[CONFIG] [CLAIM]...",
            help="A config for the article's statements, and names of claims (see --list). "
            f"{options.CONFIG_HELP} Without: the digits, and all of the article's statements.",
            show_default=False,
            autocompletion=completion.configs,
        ),
    ] = [],  # noqa: B006 - typer's way to say none
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Small networks on the digits: minutes in place of hours."),
    ] = False,
    only: Annotated[
        list[int],
        typer.Option(
            "--only",
            metavar="NUMBER",
            help="Only the claim with this number. Repeatable.",
            show_default=False,
        ),
    ] = [],  # noqa: B006
    literature: Annotated[
        bool,
        typer.Option("--literature", help="The claims of the literature, each by its own config."),
    ] = False,
    list_: Annotated[
        bool, typer.Option("--list", help="List all claims and what they rest on.")
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="Write the scoreboard's page: of what is asked for, or alone of what is trained.",
        ),
    ] = False,
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Folder of --report.", show_default="RESULTS/scoreboard"),
    ] = None,
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
    """Put statements about normalization to the test, the article's on your network.

    Each gets a verdict, on what it depends, and with -v the numbers and the command that reproduces
    them. The same command continues what was interrupted and trains nothing twice.
    """
    from normbench.claims.chosen import choose, listed
    from normbench.cli.ended import ended
    from normbench.cli.output import print_json
    from normbench.report.claims import print_claims, print_list

    if list_:
        print_json({"claims": listed()}) if json else print_list(listed(), form.value)
        return
    chosen = choose(words, only, literature=literature)
    folder = results / "scoreboard" if out is None else out
    if report and not (words or only or literature or quick or set_):
        _write(results, folder)
        return
    examined = _examined(
        chosen,
        {
            "results": results,
            "data_dir": data_dir,
            "jobs": jobs,
            "executor": executor,
            "ray_address": ray_address,
        },
        quick=quick,
        overrides=set_,
        quiet=quiet,
    )
    with ended(examined):
        if json:
            print_json(examined.to_dict())
        else:
            print_claims(examined.to_dict(), form.value, verbose=verbose)
        if report:
            _write(results, folder, examined)


def _examined(
    chosen: Chosen,
    training: dict[str, Any],
    *,
    quick: bool,
    overrides: Sequence[str],
    quiet: bool,
) -> Claims:
    """The article's statements that were asked for, then the claims of the literature."""
    from normbench.api import claims, train
    from normbench.claims.scoreboard import trained
    from normbench.progress.live import Display

    def nothing(_: str) -> None:
        pass

    with Display(quiet=quiet) as display:

        def told(text: str) -> None:
            display.console.print(text, markup=False)

        say = nothing if quiet else told
        shared = {
            **training,
            "watch": display,
            "progress": display.loading,
            "note": display.note,
        }
        examined = None
        if chosen.article:
            examined = claims(
                chosen.config,
                overrides=overrides,
                quick=quick,
                only=chosen.article,
                say=say,
                **shared,
            )
        if chosen.literature and not (examined and examined.stopped):
            more = trained(chosen.literature, lambda config: train(config, **shared), say)
            examined = more if examined is None else examined.with_literature(more)
    assert examined is not None
    return examined


def _write(results: Path, folder: Path, examined: Claims | None = None) -> None:
    """Store what is trained, and write the page."""
    from normbench.claims import scoreboard
    from normbench.report.scoreboard import PAGE, write

    if examined is not None and examined.rows:
        scoreboard.keep_article(examined, folder)
    for why in scoreboard.collect(results, folder):
        typer.echo(f"not stored: {why}", err=True)
    rows = scoreboard.rows(folder)
    write(rows, folder)
    decided = sum(row["verdict"] != scoreboard.NOT_RUN for row in rows)
    typer.echo(f"{folder / PAGE}: {len(rows)} claims, {decided} of them run")
