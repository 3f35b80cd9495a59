"""Trackio: its database of one project, an experiment's runs in it."""

from __future__ import annotations

import math
import re
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from normbench.exporters.base import EXPORTERS, Files
from normbench.exporters.history import TrackedRun, by_step, tracked_runs
from normbench.store import Results
from normbench.store.files import to_json

_TABLES = """
CREATE TABLE metrics (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL,
    timestamp TEXT NOT NULL, run_name TEXT NOT NULL, step INTEGER NOT NULL, metrics TEXT NOT NULL,
    log_id TEXT, space_id TEXT);
CREATE TABLE configs (id INTEGER PRIMARY KEY AUTOINCREMENT, run_id TEXT NOT NULL,
    run_name TEXT NOT NULL, config TEXT NOT NULL, created_at TEXT NOT NULL, UNIQUE(run_id));
"""


@EXPORTERS.register("trackio")
def trackio(results: Results) -> Files:
    """A Trackio project (no extra needed to write it): a run a run, its metrics by step.

    Metrics: the scalars of the TensorBoard export and steps_done; a value that is no number is
    absent. Config: norm, seed, role, state, the swept and the tuned keys, the verdict on its norm
    where the run is among those judged, and the reason of a run that failed.

    The database is written as Trackio 0.43 reads it, without Trackio. The results know no dates: a
    point's time is ``train_seconds`` after 1970-01-01.
    ``TRACKIO_DIR=EXPORT/trackio trackio show`` shows it.
    """
    base = sqlite3.connect(":memory:")
    try:
        base.executescript(_TABLES)
        for run in tracked_runs(results):
            about = {"run": run.name, **run.settings}
            if run.reason is not None:
                about["reason"] = run.reason
            base.execute(
                "INSERT INTO configs (run_id, run_name, config, created_at) VALUES (?, ?, ?, ?)",
                (run.identity, run.name, to_json(about), _time(0)),
            )
            base.executemany(
                "INSERT INTO metrics (timestamp, run_id, run_name, step, metrics, log_id)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                _rows(run),
            )
        base.commit()
        content = base.serialize()
    finally:
        base.close()
    yield f"trackio/{_project(results.name)}.db", content


def _project(name: str) -> str:
    """The name of a project's file: Trackio drops all but letters, digits, hyphen, underscore."""
    return re.sub(r"[^A-Za-z0-9_-]", "", name) or "default"


def _rows(run: TrackedRun) -> Iterator[tuple[Any, ...]]:
    # A run that never began is seen only by a point of its own.
    points = {**run.points, "steps_done": [(0, run.row["steps_done"])]}
    for step, values in by_step(points).items():
        known = {tag: float(value) for tag, value in values.items() if math.isfinite(value)}
        at = _time(run.seconds_at(step))
        yield at, run.identity, run.name, step, to_json(known), f"{run.identity}-{step}"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
