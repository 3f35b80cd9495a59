"""normbench train --dry-run: what would be trained, and what it would cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from normbench.cli.output import print_json
from normbench.report.columns import (
    Column,
    count,
    data_size,
    key_columns,
    norm_column,
    seconds,
    timed,
)
from normbench.report.tables import console, rich_table

SHOWN_ROWS = 40

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig
    from normbench.results.experiment import ExperimentResult


def print_estimate(
    experiment: ExperimentConfig,
    data_dir: Path | None,
    results: Path,
    jobs: int | None,
    *,
    json: bool,
) -> None:
    """Print the matrix of runs with parameters, steps, disk and time. Writes no results."""
    from normbench.api import prepare_data
    from normbench.data.facts import facts
    from normbench.execution.estimate import estimate
    from normbench.execution.experiment import so_far, what_is_left
    from normbench.execution.fit import check_fit, default_jobs
    from normbench.report.data import sentences
    from normbench.report.design import finds, oddities
    from normbench.report.earlier import what_becomes
    from normbench.results.records import records
    from normbench.store import ExperimentStore

    store = ExperimentStore(results, experiment.name)
    planned, plan, more = what_is_left(experiment, store)
    dataset = prepare_data(experiment, data_dir)
    check_fit(planned, dataset)
    for odd in oddities(experiment, planned, dataset):
        typer.echo(f"note: {odd}", err=True)
    if told := what_becomes(store, experiment):
        typer.echo(told, err=True)
    jobs = jobs or default_jobs(experiment)
    if not plan:
        typer.echo(f"{experiment.name}: all {len(planned)} runs are done", err=True)
        if json:
            done = {"experiment": experiment.name, "jobs": jobs, "runs": []}
            print_json({**done, "elapsed_seconds": 0.0, "disk_bytes": 0.0})
        return
    frame = estimate(plan, dataset, jobs)
    total = float(frame["elapsed_seconds"].sum(min_count=1))  # NaN where nothing was timed
    disk = float(frame["disk_bytes"].sum())
    if json:
        out = {"experiment": experiment.name, "jobs": jobs, "runs": records(frame)}
        out["data"] = {"dataset": dataset.name, **asdict(facts(dataset))}
        print_json({**out, "elapsed_seconds": total, "disk_bytes": disk})
        return
    keys = list(experiment.sweep) + ([experiment.tune.key] if experiment.tune else [])
    columns = [
        norm_column(),
        *key_columns(keys),
        Column("runs", lambda row: count(row["runs"])),
        Column("parameters", lambda row: f"{row['parameters']:,}"),
        Column("steps", lambda row: count(row["steps"])),
        Column("time/step", lambda row: timed(row["seconds_per_step"])),
        Column("time/run", lambda row: timed(row["seconds"])),
        Column("disk", lambda row: data_size(row["disk_bytes"]), weight=1),
    ]
    screen = console()
    for line in sentences(facts(dataset)):
        screen.print(line, highlight=False)
    title = f"{experiment.name}: {len(plan)} of {len(planned)} runs to train"
    shown = frame.head(SHOWN_ROWS)
    screen.print(rich_table(title, shown, columns, screen.width, norms=experiment.labels))
    if len(frame) > SHOWN_ROWS:
        screen.print(f"and {len(frame) - SHOWN_ROWS:,} rows more, which --json lists")
    told = f"about {seconds(total)}" if total > 0 else "not timed:"
    screen.print(f"{told} with {jobs} runs at a time, {data_size(disk)} on disk")
    if more and experiment.tune and not any(run.role == "best" for run in planned):
        screen.print("and the runs at each norm's own best value, once that is known")
    first, most = len(experiment.first_seeds), len(experiment.seed_list)
    if more and first < most:
        screen.print(f"and up to {most} seeds of the norms that may be best after each look")
    if told := finds(experiment, measured_sd(so_far(experiment, store))):
        screen.print(told)


def measured_sd(earlier: ExperimentResult | None) -> float | None:
    """The median sd of the paired differences with the baseline; None where no runs tell it."""
    from normbench.analysis.spread import paired_sd

    if earlier is None:
        return None
    tables = earlier.judged
    keys, metric = tables.results.keys, tables.rule.metric
    sd = paired_sd(tables.primary, tables.norms, tables.baseline, keys, metric)["sd"].median()
    return float(sd) if sd > 0 else None
