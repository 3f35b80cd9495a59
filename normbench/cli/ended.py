"""How a command that trains ends: what it says of runs that did not, and its exit code."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from normbench.constants import OUTCOME_STATES

if TYPE_CHECKING:
    from normbench.claims import Claims
    from normbench.plan import Outcome
    from normbench.results.experiment import ExperimentResult

RUN_FAILED = 1


@contextmanager
def ended(
    outcome: Outcome | Claims | None, result: ExperimentResult | None = None, *, of_all: bool = True
) -> Iterator[None]:
    """Tell what failed, and exit before the tables where the training was interrupted.

    result: whose runs are counted; of_all: whether those on record are all that were meant.
    """
    assert outcome is not None
    for run, reason in outcome.failed:
        typer.echo(f"failed: {run.folder}: {reason}", err=True)
    if outcome.stopped:
        done = ""
        if result is not None:
            runs = result.results.runs.drop_duplicates("run")
            share = f"{runs['state'].isin(OUTCOME_STATES).sum()}" + f" of {len(runs)}" * of_all
            done = f": {share} runs are done"
        typer.echo(f"interrupted{done}; the same command continues", err=True)
        raise typer.Exit(128 + (outcome.signal or signal.SIGINT))
    yield
    if outcome.failed:
        raise typer.Exit(RUN_FAILED)
