"""What is on disk, in rows: the experiments of a results folder, and the runs of one."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from normbench.constants import OUTCOME_STATES
from normbench.errors import StoreError
from normbench.report.columns import Column, Row, data_size, percent, seconds
from normbench.store import ExperimentStore, Results, read_results
from normbench.store.earlier import stale_runs
from normbench.store.experiment import experiments

DAY = 86400.0
LATE = 2 * DAY  # an age beyond it reads in days


def experiment_rows(results: Path, now: float, unread: list[str]) -> list[dict[str, Any]]:
    """One row an experiment, the one that was trained last first.

    Columns: name, norms (labels), runs, done (with a result), stale (runs on disk that no longer
    belong to the config), leader (the norm that leads; None where it changes with the sweep point
    or nothing has a result), changed (seconds since 1970), age_seconds at ``now``, bytes on disk.
    What cannot be read goes to ``unread``, a text each.
    """
    rows = []
    for name in experiments(results):
        try:
            rows.append(_experiment(ExperimentStore(results, name), now))
        except StoreError as error:
            unread.append(str(error))
    return sorted(rows, key=lambda row: -float(row["changed"]))


def _experiment(store: ExperimentStore, now: float) -> dict[str, Any]:
    saved = read_results(store.results, store.name)
    runs = saved.runs.drop_duplicates("run") if len(saved.runs) else saved.runs
    done = int(runs["state"].isin(OUTCOME_STATES).sum()) if len(runs) else 0
    changed = store.changed()
    return {
        "name": store.name,
        "norms": list(dict.fromkeys(runs["norm"])) if len(runs) else [],
        "runs": len(runs),
        "done": done,
        "stale": len(stale_runs(store)),
        "leader": _leader(saved) if done else None,
        "changed": changed,
        "age_seconds": now - changed,
        "bytes": store.disk_bytes(),
    }


def _leader(saved: Results) -> str | None:
    from normbench.report.answer import answer
    from normbench.results.experiment import ExperimentResult

    return answer(ExperimentResult(saved)).leader


def experiment_columns() -> list[Column]:
    """The table of experiments."""
    return [
        Column("experiment", lambda row: str(row["name"]), left=True),
        Column("norms", lambda row: ", ".join(row["norms"]), left=True, weight=2),
        Column("runs", _runs),
        Column("leader", lambda row: str(row["leader"] or "–"), left=True),
        Column("age", lambda row: age(row["age_seconds"])),
        Column("size", lambda row: data_size(row["bytes"]), weight=1),
    ]


def _runs(row: Row) -> str:
    text = f"{row['done']}/{row['runs']}"
    return f"{text} +{row['stale']} stale" if row["stale"] else text


def age(value: float) -> str:
    """How long ago, in the unit that reads best: 40 s, 5 min, 3 days."""
    return seconds(max(value, 0.0)) if value < LATE else f"{value / DAY:.0f} days"


def run_rows(saved: Results) -> list[dict[str, Any]]:
    """One row a run, with all its roles. A diverged run's accuracy is chance, as in every table.

    Columns: experiment, run, norm, <sweep keys>, tuned, seed, role, state, val_accuracy, changed
    (when its state was last written, in seconds since 1970; None for one that has not begun).
    """
    runs = saved.runs
    if runs.empty:
        return []
    roles = runs.groupby("run", sort=False)["role"].agg("+".join)
    accuracy = runs["val_accuracy"].where(runs["state"] != "diverged", 1 / runs["num_classes"])
    columns = ["experiment", "run", "norm", *saved.keys, "tuned", "seed", "role", "state"]
    once = runs.assign(
        experiment=saved.name, role=runs["run"].map(roles), val_accuracy=accuracy
    ).drop_duplicates("run")
    rows = once[[*columns, "val_accuracy"]].to_dict("records")
    return [{**row, "changed": _changed(saved.path / row["run"])} for row in rows]


def _changed(run: Path) -> float | None:
    try:
        return os.stat(run / "manifest.json").st_mtime
    except OSError:  # gone, or not to be read, which its state tells
        return None


def run_columns(rows: Sequence[Row], keys: Sequence[str], now: float) -> list[Column]:
    """The table of runs: what tells them apart has a column, what is the same in all has none."""
    columns = [Column("run", _text("run"), left=True)]
    words = {"experiment": 0, "norm": 3, **dict.fromkeys(keys, 2), "tuned": 2, "seed": 3, "role": 1}
    for name, weight in words.items():
        # Not a set of the values: a missing number differs from itself.
        if len({_text(name)(row) for row in rows}) > 1:
            heading = name.rsplit(".", 1)[-1]
            columns.append(Column(heading, _text(name), weight, left=name in ("norm", "role")))
    columns.append(Column("state", _text("state"), left=True))
    columns.append(Column("age", lambda row: _age(row, now), weight=1))
    columns.append(Column("val %", lambda row: percent(row["val_accuracy"])))
    return columns


def _text(name: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value = row.get(name)
        return "" if value is None or value != value else str(value)

    return text


def _age(row: Mapping[str, Any], now: float) -> str:
    return "–" if row["changed"] is None else age(now - row["changed"])
