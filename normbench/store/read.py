"""Reads an experiment back as tables. No torch here, and one small read a file: an experiment of
100,000 runs is read in seconds.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import from_json

from normbench.errors import StoreError
from normbench.store.experiment import PLAN, ExperimentStore
from normbench.store.files import parsed, read_json_lines, reported
from normbench.store.run import MANIFEST_KEYS, RunStore, point_label

NAN = float("nan")
_PLANNED = {"folder", "norm", "seed", "role", "point", "tuned", "context", "method"}
_FIRST = ("step", "val_accuracy", "val_loss", "train_loss", "train_seconds")
_CURVE = (*_FIRST, "train_accuracy")
_first = itemgetter(*_FIRST)


def _evaluation(event: dict[str, Any]) -> tuple[Any, ...]:
    """The columns of a curve; the journals of an older normbench lack the last."""
    return (*_first(event), event.get("train_accuracy"))


@dataclass(frozen=True)
class Results:
    """An experiment as tables, each run under its folder's name.

    runs: one row a run: run, norm, seed, role, state ("finished", "diverged", "failed",
    "interrupted", "running" or "missing"), the sweep columns ``keys``, ``tuned`` (the tuned value
    or NaN), hashes, clock readings in seconds, final accuracies.
    curves: one row an evaluation: run, step, val_accuracy, val_loss, train_loss, train_seconds,
    train_accuracy.
    probes: the first and last probed step of each run: run, step, and an array [L] a quantity.
    given: what of the config differs from the defaults; empty where an older normbench trained.
    looked_at: how many seeds were compared each time that a training ended, as far as it changed.
    rules: what carried the verdicts, the first one before any result: ``verdict`` as the config had
    it, and ``seeds``, the most that had been compared when it was chosen.
    environments: run -> versions and machine as its manifest has them, and ``data``: the dataset
    and its fingerprint.
    """

    name: str
    path: Path
    config: Mapping[str, Any]
    keys: list[str]
    runs: pd.DataFrame
    curves: pd.DataFrame
    probes: pd.DataFrame
    reasons: Mapping[str, str] = field(default_factory=dict)
    given: Mapping[str, Any] = field(default_factory=dict)
    looked_at: tuple[int, ...] = ()
    environments: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    rules: tuple[Mapping[str, Any], ...] = ()

    def only(self, mask: pd.Series) -> Results:
        """The same experiment with the runs of ``mask`` alone."""
        if mask.all():
            return self
        runs = self.runs[mask]
        kept = set(runs["run"])
        return replace(
            self,
            runs=runs.reset_index(drop=True),
            curves=self.curves[self.curves["run"].isin(kept)],
            probes=self.probes[self.probes["run"].isin(kept)],
            reasons={run: reason for run, reason in self.reasons.items() if run in kept},
            environments={run: here for run, here in self.environments.items() if run in kept},
        )


def read_results(
    results: Path, name: str, *, probes: bool = True, plan: Mapping[str, Any] | None = None
) -> Results:
    """The experiment ``name``: every planned run, and every other run of the same config.

    A run under a seed that the last command did not ask for counts too, so that no result is
    left out by asking for less; but where seeds come in steps, the looks say which count.
    plan: what is asked for, if that is not what is on record. Raises StoreError when there is no
    such experiment, or it cannot be read.
    """
    store = ExperimentStore(results, name)
    plan = store.read_plan() if plan is None else plan
    planned = plan["runs"]
    if not all(isinstance(entry, dict) and entry.keys() >= _PLANNED for entry in planned):
        raise StoreError(
            f"{store.path / PLAN} was written by an older normbench, or is damaged\n"
            "    `normbench train` with its config writes it anew and keeps the runs"
        )
    in_steps = isinstance(plan["config"].get("seeds"), Mapping)
    entries = [*planned, *([] if in_steps else _unplanned(store, planned))]
    keys = list(plan["config"].get("sweep") or {})
    rows, curves, probed = [], _Curves(), _Probes()
    reasons: dict[str, str] = {}
    environments: dict[str, dict[str, Any]] = {}
    known: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, dict[str, Any]] = {}
    for entry in entries:
        row = {"run": entry["folder"], **{k: entry[k] for k in ("norm", "seed", "role")}}
        row |= {key: point_label(entry["point"].get(key)) for key in keys}
        row["tuned"] = next(iter(entry["tuned"].values()), NAN)
        run = store.run(entry["folder"])
        if run.name not in outcomes:  # one run may be planned in two roles
            manifest = _manifest(run)
            outcomes[run.name] = _outcome(run, manifest, curves)
            if manifest and manifest.get("reason"):
                reasons[run.name] = manifest["reason"]
            if manifest:
                here = {**manifest.get("environment", {}), "data": manifest["data"]}
                # Runs by the thousand come from a few environments.
                environments[run.name] = known.setdefault(repr(here), here)
            if probes and manifest:
                probed.add(run)
        rows.append(row | outcomes[run.name])
    return Results(
        store.name,
        store.path,
        plan["config"],
        keys,
        _without_the_dead(pd.DataFrame(rows), store),
        curves.frame(),
        probed.frame(),
        reasons,
        plan.get("given") or {},
        tuple(plan.get("looked_at") or ()),
        environments,
        tuple(plan.get("rules") or ()),
    )


def _unplanned(store: ExperimentStore, planned: list[dict[str, Any]]) -> Iterable[dict[str, Any]]:
    """Runs on disk that share config and norm with a reported run but were not asked for."""
    known = {entry["folder"].rpartition("-")[2] for entry in planned}
    kinds = {
        (entry["context"], entry["method"]): entry for entry in planned if entry["role"] == "report"
    }
    for folder in store.folders():
        identity = folder.rpartition("-")[2]
        if identity in known:
            continue
        manifest = _manifest(store.run(folder))
        kind = manifest and (manifest["context"], manifest["method"])
        if not manifest or kind not in kinds:
            continue
        if manifest.get("role") != "report":  # a seed that something was chosen on stays out
            continue
        known.add(identity)
        yield {**kinds[kind], "folder": folder, "seed": manifest["seed"]}


def _without_the_dead(runs: pd.DataFrame, store: ExperimentStore) -> pd.DataFrame:
    """What was running when its process died reads interrupted: nobody works on it."""
    running = runs["state"] == "running"
    if running.any() and not store.in_use():
        runs["state"] = runs["state"].mask(running, "interrupted")
    return runs


def _manifest(run: RunStore) -> dict[str, Any] | None:
    with reported(run.path, "read"):
        return run.read_manifest(MANIFEST_KEYS)


def _outcome(run: RunStore, manifest: dict[str, Any] | None, curves: _Curves) -> dict[str, Any]:
    """The columns of one run that come from its manifest and metrics."""
    manifest = manifest or {"state": "missing"}
    metrics = read_json_lines(run.journal("metrics"))
    evaluations = [event for event in metrics if event["event"] == "eval"]
    curves.add(run.name, evaluations)
    last = evaluations[-1] if evaluations else {}
    test = next((event for event in metrics if event["event"] == "test"), {})
    return {
        "state": manifest["state"],
        "diverged_at": _number(manifest.get("diverged_at")),
        "steps_planned": _number(manifest.get("steps")),
        "steps_done": _number(manifest.get("steps_done", last.get("step"))),
        "batch_size": _number(manifest.get("batch_size")),
        "num_classes": _number(manifest.get("num_classes")),
        "parameters": _number(manifest.get("parameters")),
        "val_accuracy": _number(last.get("val_accuracy")),
        "val_loss": _number(last.get("val_loss")),
        "train_accuracy": _number(last.get("train_accuracy")),
        "val_accuracy_precise": _number(test.get("val_accuracy_precise")),
        "test_accuracy": _number(test.get("test_accuracy")),
        "train_seconds": _number(manifest.get("train_seconds")),
        "backbone_sha256": manifest.get("backbone_sha256"),
        "batch_order_sha256": manifest.get("batch_order_sha256"),
        "epochs_started": _number(manifest.get("epochs_started")),
    }


class _Curves:
    """Evaluations gathered in flat arrays, eight bytes a number."""

    def __init__(self) -> None:
        self.runs: list[str] = []
        self.counts: list[int] = []
        self.columns = [array("d") for _ in _CURVE]

    def add(self, run: str, evaluations: list[dict[str, Any]]) -> None:
        self.runs.append(run)
        self.counts.append(len(evaluations))
        values = np.array([_evaluation(event) for event in evaluations], dtype=float)  # null: NaN
        for column, part in zip(self.columns, values.reshape(-1, len(_CURVE)).T, strict=True):
            column.frombytes(part.tobytes())

    def frame(self) -> pd.DataFrame:
        columns = dict(zip(_CURVE, map(np.frombuffer, self.columns), strict=True))
        codes = np.repeat(np.arange(len(self.runs)), self.counts)
        run = pd.Categorical.from_codes(codes, pd.Index(self.runs))
        step = columns["step"].astype("int64")
        return pd.DataFrame({"run": run, **columns, "step": step}, copy=False)


class _Probes:
    """The first and last probed step of each run."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, run: RunStore) -> None:
        path = run.journal("probes")
        for line in _ends(path):
            with parsed(path):
                self.rows.append({"run": run.name, **_probe(from_json(line))})

    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows, columns=None if self.rows else ["run", "step"])


def _ends(path: str) -> list[bytes]:
    """The first and the last whole line of a journal, without reading what is between."""
    try:
        with open(path, "rb") as lines:
            first = lines.readline()
            if not first.endswith(b"\n"):
                return []
            size = lines.seek(0, os.SEEK_END)
            # The lines are about equally long; more is read where the last is longer, or torn.
            length, tail = len(first), first
            while tail.count(b"\n") < 2 and length < size:
                length *= 2
                lines.seek(max(0, size - length))
                tail = lines.read()
    except FileNotFoundError:
        return []
    whole = tail[: tail.rfind(b"\n")]
    last = whole[whole.rfind(b"\n") + 1 :] + b"\n"
    return [first] if last == first else [first, last]


def read_probes(folder: Path) -> pd.DataFrame:
    """Every probed step of one run: step and an array [L] a quantity."""
    return pd.DataFrame(
        [_probe(event) for event in read_json_lines(RunStore(folder).journal("probes"))]
    )


def _probe(event: dict[str, Any]) -> dict[str, Any]:
    """A journal's line as a row; null, which stands for a non-finite number, becomes NaN."""
    step = event.pop("step")
    del event["event"]
    return {"step": step, **{name: np.array(v, dtype=float) for name, v in event.items()}}


def _number(value: Any) -> float:
    """A number of a journal; null stands for a missing or non-finite one."""
    return NAN if value is None else value
