"""Asking before anything is deleted."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

REFUSED = 130  # as if it had been interrupted: nothing was done


def require_terminal(yes: bool) -> None:
    """Raise ConfigError where there is nobody to ask and nothing was agreed to beforehand."""
    from normbench.errors import ConfigError

    if not (yes or sys.stdin.isatty()):
        raise ConfigError("there is no terminal to ask on\n    --yes deletes without asking")


def agreed(question: str, yes: bool) -> bool:
    """Whether the answer is yes."""
    return yes or typer.confirm(question, err=True)


def agree_to_start_over(results: Path, name: str, *, yes: bool) -> None:
    """Count the runs that starting over deletes, and ask; exits where the answer is no.

    Raises ConfigError, StoreError.
    """
    from normbench.report.columns import data_size
    from normbench.report.wording import counted
    from normbench.store import ExperimentStore

    store = ExperimentStore(results, name)
    folders = store.folders()
    if not folders:
        return
    size = sum(store.disk_bytes(folder) for folder in folders)
    told = f"--fresh deletes {counted(len(folders), 'run')} of {store.path}, {data_size(size)}"
    typer.echo(told, err=True)
    require_terminal(yes)
    if not agreed("delete, and train anew?", yes):
        typer.echo("nothing was deleted, nothing trained", err=True)
        raise typer.Exit(REFUSED)
