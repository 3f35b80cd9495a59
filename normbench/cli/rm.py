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
        typer.Argument(
            help="The experiment, by name or folder.", autocompletion=completion.experiments
        ),
    ],
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Only these of its runs, by name or the beginning of one. Without: all of it.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ] = [],  # noqa: B006
    stale: Annotated[
        bool,
        typer.Option("--stale", help="Only runs that no longer belong to the config last trained."),
    ] = False,
    yes: options.Yes = False,
    results: options.Results = options.RESULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Delete an experiment, or some of its runs. Says what and how much, and asks."""
    from normbench.cli.asking import agreed as asked
    from normbench.cli.asking import require_terminal
    from normbench.cli.output import print_json
    from normbench.report.columns import data_size
    from normbench.report.wording import counted
    from normbench.store import locate
    from normbench.store.earlier import stale_runs

    if stale and runs:
        raise typer.BadParameter("--stale chooses the runs itself; name none")
    store = locate(results, name)
    store.check_removable()
    folders = list(dict.fromkeys(store.find(run) for run in runs))
    if stale and not stale_runs(store):
        typer.echo(f"{store.name}: every run belongs to the config last trained", err=True)
        if json:
            print_json({"experiment": store.name, "removed": [], "bytes": 0})
        return
    require_terminal(yes)
    store.lock()
    try:
        if stale:
            folders = stale_runs(store)
        size = sum(store.disk_bytes(folder) for folder in folders or ["."])
        gone = folders or store.folders()
        if not quiet or not yes:
            what = ", ".join(folders) if folders else f"all of {store.path}"
            typer.echo(f"{what}: {counted(len(gone), 'run')}, {data_size(size)}", err=True)
        agreed = asked("delete?", yes)
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
