"""normbench watch: the curves of an experiment while it trains, from another terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from normbench.cli import completion, options

NAME = "watch"
EVERY = 2.0


def command(
    name: Annotated[
        str,
        typer.Argument(
            help="The experiment, as its config names it.", autocompletion=completion.experiments
        ),
    ],
    results: options.Results = options.RESULTS,
    every: Annotated[
        float, typer.Option("--every", metavar="SECONDS", min=0.1, help="Time between two looks.")
    ] = EVERY,
) -> None:
    """Draw the learning curves of an experiment while another terminal trains it.

    It ends when the training does, or at Ctrl-C, which leaves the training alone. Where stdout is
    no terminal, it draws once.

    Example: normbench watch digits
    """
    import time

    from rich.console import Group
    from rich.live import Live

    from normbench.progress.watching import screen
    from normbench.report.tables import console
    from normbench.store import ExperimentStore, read_results

    store, out = ExperimentStore(results, name), console()

    def look(height: int | None) -> Group:
        return Group(*screen(read_results(results, name, probes=False), out.width, height))

    if not out.is_terminal:
        out.print(look(None))
        return
    with Live(look(out.height - 1), console=out, auto_refresh=False) as live:
        while store.in_use():
            time.sleep(every)
            live.update(look(out.height - 1), refresh=True)
    out.print("no process trains it now", style="dim")
