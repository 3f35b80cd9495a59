"""normbench show: a config with every default, an experiment's curves, or all about one run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from normbench.cli import completion, options

NAME = "show"


def command(
    what: Annotated[
        Optional[str],  # noqa: UP045 - typer reads it at run time
        typer.Argument(
            metavar="CONFIG|EXPERIMENT|RUN",
            help="A YAML file or the name of a bundled config; an experiment, with a slash behind "
            "it where a bundled config has its name; or a run: EXPERIMENT/RUN, its folder, or the "
            "beginning of its name. Without: the last experiment trained.",
            show_default=False,
            autocompletion=completion.configs_or_runs,
        ),
    ] = None,
    set_: options.Set = [],  # noqa: B006
    results: options.Results = options.RESULTS,
    data_dir: options.DataDir = None,
    json: options.Json = False,
) -> None:
    """Show a config as normbench understands it, an experiment's curves, or what is known of a run.

    A config comes with every default written out and, as a comment, what is in its dataset; an
    experiment with each norm's curve and how far its runs are; a run with its config, events,
    curve, timings and environment.
    """
    import difflib

    from normbench.bundled import bundled, bundled_for_claims
    from normbench.errors import StoreError
    from normbench.store import ExperimentStore, find_run, results_folder

    if what is None:
        if set_:
            raise typer.BadParameter("--set goes with a config: name one")
        from normbench.cli.chosen import chosen

        (store,) = chosen([], results)
        _show_experiment(store.results, store.name, json=json)
        return
    names = [path.stem for path in bundled()]
    if (
        what in (*names, *bundled_for_claims())
        or Path(what).is_file()
        or what.endswith((".yaml", ".yml"))
    ):
        _show_config(what, set_, data_dir, json=json)
        own = results_folder(results) / what
        if what in names and ExperimentStore.is_at(own):
            told = f"this is the bundled config; `normbench show {own}` shows the experiment"
            typer.echo(told, err=True)
        return
    if set_:
        raise typer.BadParameter("--set goes with a config, not with an experiment or a run")
    path = Path(what)
    if len(path.parts) > 1 and ExperimentStore.is_at(path):
        path = path.resolve()
        results, what = path.parent, path.name
    folder = results_folder(results)
    if what.strip("/") and ExperimentStore.is_at(folder / what):
        _show_experiment(folder, what.rstrip("/"), json=json)
        return
    try:
        store, run = find_run(results, what)
    except StoreError:
        if "/" not in what and difflib.get_close_matches(what, names):
            _show_config(what, set_, data_dir, json=json)  # which tells the nearest config
        raise
    from normbench.cli.output import print_json
    from normbench.report.run import as_dict, page
    from normbench.report.tables import console
    from normbench.store.record import read_record

    record = read_record(store, run)
    if json:
        print_json(as_dict(record))
        return
    out = console()
    for part in page(record, out.width):
        out.print(part)


def _show_experiment(results: Path, name: str, *, json: bool) -> None:
    from normbench.cli.output import print_json
    from normbench.progress.watching import as_dict, screen
    from normbench.report.tables import console
    from normbench.store import read_results

    saved = read_results(results, name, probes=False)
    if json:
        print_json(as_dict(saved))
        return
    out = console()
    for line in screen(saved, out.width):
        out.print(line)


def _show_config(name: str, overrides: list[str], data_dir: Path | None, *, json: bool) -> None:
    import yaml

    from normbench.api import load_config
    from normbench.data.facts import look
    from normbench.plain import shown
    from normbench.report.data import sentences
    from normbench.store.files import to_json

    experiment = load_config(name, overrides=overrides)
    resolved = experiment.resolved()
    if json:
        typer.echo(to_json(resolved))
        return
    typer.echo(yaml.safe_dump(resolved, sort_keys=False), nl=False)
    data = experiment.data
    facts = look(data.dataset, data_dir=data_dir, options=data.options())
    lines = facts.splitlines() if isinstance(facts, str) else sentences(facts)
    # As a comment, so that the whole is a config still.
    told = shown("".join(f"# {line}\n" for line in [f"data: {lines[0]}", *lines[1:]]))
    typer.echo(told, nl=False)
