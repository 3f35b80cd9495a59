"""normbench rm: delete results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from normbench.cli import completion, options

if TYPE_CHECKING:
    from normbench.store import ExperimentStore

NAME = "rm"


def command(
    name: Annotated[
        str,
        typer.Argument(help="The experiment.", autocompletion=completion.experiments),
    ],
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="[RUN]...",
            help="Only these of its runs, by name or the beginning of one. Without: all of it.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ] = [],  # noqa: B006
    yes: options.Yes = False,
    results: options.Results = options.RESULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Delete an experiment, or some of its runs. Says what and how much, and asks."""
    import sys

    from normbench.cli.output import print_json
    from normbench.errors import ConfigError
    from normbench.report.columns import data_size
    from normbench.store import ExperimentStore

    store = ExperimentStore(results, name)
    store.check_removable()
    folders = list(dict.fromkeys(store.find(run) for run in runs))
    if not (yes or sys.stdin.isatty()):
        raise ConfigError("there is no terminal to ask on\n    --yes deletes without asking")
    store.lock()
    try:
        size = sum(store.disk_bytes(folder) for folder in folders or ["."])
        gone = folders or store.folders()
        if not quiet or not yes:
            what = ", ".join(folders) if folders else f"all of {store.path}"
            plural = "run" if len(gone) == 1 else "runs"
            typer.echo(f"{what}: {len(gone)} {plural}, {data_size(size)}", err=True)
        agreed = yes or typer.confirm("delete?", err=True)
        if agreed:
            _remove(store, folders)
    finally:
        store.unlock()
    if not agreed:
        typer.echo("nothing was deleted", err=True)
        gone, size = [], 0
    if json:
        print_json({"experiment": store.name, "removed": gone, "bytes": size})
    elif agreed and not quiet:
        typer.echo(f"deleted, {data_size(size)} freed", err=True)


def _remove(store: ExperimentStore, folders: list[str]) -> None:
    for folder in folders:
        store.run(folder).clear()
    if not folders:
        store.remove()
