"""normbench train: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from normbench.cli import everyday, options

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig
    from normbench.progress.live import Display

NAME = "train"


def command(
    config: options.Config = None,
    data: everyday.Data = None,
    model: everyday.Model = None,
    norms: everyday.Norms = None,
    seeds: everyday.Seeds = None,
    epochs: everyday.Epochs = None,
    lr: everyday.Rate = None,
    set_: options.Set = [],  # noqa: B006
    sweep: options.Sweep = [],  # noqa: B006
    results: options.Results = options.RESULTS,
    data_dir: options.DataDir = None,
    jobs: options.Jobs = None,
    executor: options.Executor = "local",
    ray_address: options.RayAddress = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Start over: delete this experiment's earlier runs. Asks."),
    ] = False,
    accept_changes: Annotated[
        bool,
        typer.Option(
            "--accept-changes",
            help="Continue runs begun under another torch, device or number of threads.",
        ),
    ] = False,
    yes: options.Yes = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be trained and how long it takes.")
    ] = False,
    full: options.Full = False,
    json: options.Json = False,
    form: options.TableFormat = options.Format.table,
    quiet: options.Quiet = False,
) -> None:
    """Train every norm of an experiment under every seed, and compare them.

    The same command continues what was interrupted and skips what is done.
    """
    from normbench.execution import processes

    if executor == "local" and not dry_run:
        processes.prepare()  # first of all: they import while this process does
    from normbench.api import train
    from normbench.cli.asking import agree_to_start_over
    from normbench.execution.fit import default_jobs
    from normbench.progress.live import Display
    from normbench.report.header import header

    experiment = everyday.experiment(
        config,
        data=data,
        model=model,
        norms=norms,
        seeds=seeds,
        epochs=epochs,
        lr=lr,
        overrides=set_,
        sweeps=sweep,
    )
    if dry_run:
        from normbench.cli.dry_run import print_estimate

        print_estimate(experiment, data_dir, results, jobs, json=json)
        return
    if fresh:
        agree_to_start_over(results, experiment.name, yes=yes)
    with Display(quiet=quiet, norms=experiment.labels) as display:
        display.head(header(experiment, results))
        if executor == "local" and not quiet and experiment.runtime.device == "cpu":
            jobs = jobs or default_jobs(experiment)
            told = _time_ahead(experiment, results, data_dir, jobs, display, fresh=fresh)
            if told:
                display.head(told)
        result = train(
            experiment,
            results=results,
            data_dir=data_dir,
            jobs=jobs,
            executor=executor,
            ray_address=ray_address,
            fresh=fresh,
            accept_changes=accept_changes,
            watch=display,
            progress=display.loading,
            note=display.note,
        )
    from normbench.cli.ended import ended
    from normbench.cli.tables import print_comparison

    with ended(result.outcome, result):
        print_comparison(result, json=json, form=form, full=full, results=results)


def _time_ahead(
    experiment: ExperimentConfig,
    results: Path,
    data_dir: Path | None,
    jobs: int,
    display: Display,
    *,
    fresh: bool,
) -> str:
    """How long the training will take, while the workers still import; "" where nothing tells."""
    from normbench.api import prepare_data
    from normbench.execution.estimate import forecast
    from normbench.execution.experiment import what_is_left
    from normbench.execution.fit import check_fit
    from normbench.plan import expand
    from normbench.report.header import time_ahead
    from normbench.store import ExperimentStore

    dataset = prepare_data(experiment, data_dir, progress=display.loading, note=display.note)
    if fresh:
        left, more = expand(experiment), len(experiment.first_seeds) < len(experiment.seed_list)
    else:
        store = ExperimentStore(results, experiment.name)
        _, left, more = what_is_left(experiment, store)
    if not left:
        return ""
    check_fit(left, dataset)
    return time_ahead(forecast(left, dataset, jobs), len(left), jobs, more=more)
