"""normbench watch: the curves of an experiment while it trains, from another terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from normbench.cli import options

NAME = "watch"
EVERY = 2.0


def command(
    name: options.Experiment = None,
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

    from normbench.cli.chosen import chosen
    from normbench.progress.watching import screen
    from normbench.report.tables import console
    from normbench.store import read_results

    (store,), out = chosen([name] if name else [], results), console()

    def look(height: int | None) -> Group:
        saved = read_results(store.results, store.name, probes=False)
        return Group(*screen(saved, out.width, height))

    if not out.is_terminal:
        out.print(look(None))
        return
    with Live(look(out.height - 1), console=out, auto_refresh=False) as live:
        while store.in_use():
            time.sleep(every)
            live.update(look(out.height - 1), refresh=True)
    out.print("no process trains it now", style="dim")
