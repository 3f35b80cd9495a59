"""normbench recommend: which norm, each at its own best learning rate, within a budget."""

from __future__ import annotations

from typing import Annotated

import typer

from normbench.cli import everyday, options

NAME = "recommend"


def command(
    config: options.Config = None,
    budget: Annotated[
        str,
        typer.Option(
            "--budget",
            metavar="10m|2h|200runs",
            help="What may be spent: time of one core, or runs. Two cores spend it in half.",
        ),
    ] = "10m",
    data: everyday.Data = None,
    model: everyday.Model = None,
    norms: everyday.Norms = None,
    epochs: everyday.Epochs = None,
    lr: everyday.Rate = None,
    set_: options.Set = [],  # noqa: B006
    results: options.Results = options.RESULTS,
    data_dir: options.DataDir = None,
    jobs: options.Jobs = None,
    executor: options.Executor = "local",
    ray_address: options.RayAddress = None,
    fresh: Annotated[
        bool,
        typer.Option("--fresh", help="Start over: delete the earlier runs of this. Asks."),
    ] = False,
    yes: options.Yes = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Recommend a norm: search each one's best learning rate, then race them, within a budget.

    The runs are an ordinary experiment, which compare and report read. The same command continues
    it, with a larger budget beyond where it ended.
    """
    from normbench.execution import processes

    if executor == "local":
        processes.prepare()  # first of all: they import while this process does
    from normbench.cli.asking import agree_to_start_over
    from normbench.execution.recommend import name_of
    from normbench.progress.live import Display
    from normbench.recommending import recommend
    from normbench.report.header import header

    experiment = everyday.experiment(
        config,
        data=data,
        model=model,
        norms=norms,
        seeds=None,
        epochs=epochs,
        lr=lr,
        overrides=set_,
        sweeps=[],
    )
    if fresh:
        agree_to_start_over(results, name_of(experiment), yes=yes)
    with Display(quiet=quiet, norms=experiment.labels) as display:
        recommendation = recommend(
            experiment,
            budget=budget,
            results=results,
            data_dir=data_dir,
            jobs=jobs,
            executor=executor,
            ray_address=ray_address,
            fresh=fresh,
            watch=display,
            progress=display.loading,
            note=display.note,
            say=lambda planned, what: display.head(f"{header(planned, results)}\n{what}"),
        )
    from normbench.cli.ended import ended
    from normbench.cli.tables import print_recommendation

    comparison = recommendation.comparison
    with ended(comparison.outcome, comparison, of_all=False):
        print_recommendation(recommendation, json=json, results=results)
