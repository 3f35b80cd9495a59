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

from normbench.constants import OUTCOME_STATES
from normbench.errors import StoreError
from normbench.store import journal
from normbench.store import manifest as manifests
from normbench.store.experiment import PLAN, ExperimentStore
from normbench.store.files import MOST_OF_A_JOURNAL, Damaged, read_bytes, reading, reported
from normbench.store.run import MANIFEST_KEYS, RunStore, point_label
from normbench.store.seal import Seal, check_unsealed

NAN = float("nan")
_PLANNED = {"folder", "norm", "seed", "role", "point", "tuned", "context", "method"}
_JUDGED = {"baseline", "target"}
REBUILT = (
    "the record was rebuilt from the runs, which do not hold how they were to be judged: target, "
    "verdict and baseline are those of a config that names none, until `train` writes it anew"
)
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
    "interrupted", "running", "missing" or "damaged"), the sweep columns ``keys``, ``tuned`` (the
    tuned value or NaN), hashes, clock readings in seconds, final accuracies.
    curves: one row an evaluation: run, step, val_accuracy, val_loss, train_loss, train_seconds,
    train_accuracy. The clock of training is never later than at a later evaluation: as long as
    every step is probed it knows no better than the time of probed steps.
    probes: the first and last probed step of each run: run, step, and an array [L] a quantity.
    given: what of the config differs from the defaults; empty where an older normbench trained.
    looked_at: how many seeds were compared each time that a training ended, as far as it changed.
    rules: what carried the verdicts, the first one before any result: ``verdict`` as the config had
    it, and ``seeds``, the most that had been compared when it was chosen.
    environments: run -> versions and machine as its manifest has them, and ``data``: the dataset
    and its fingerprint. swaps: run -> which norms were exchanged for what, as its manifest has it;
    runs of an earlier normbench are not in it.
    reasons: why a run failed, or what is damaged. unsealed: runs of an earlier normbench, which
    kept no sums of their files. changed: run -> the other ground that it was continued on. notes:
    what is wrong with files that are no run of the tables.
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
    unsealed: frozenset[str] = frozenset()
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    rules: tuple[Mapping[str, Any], ...] = ()
    swaps: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

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
            swaps={run: told for run, told in self.swaps.items() if run in kept},
            unsealed=self.unsealed & kept,
            changed={run: told for run, told in self.changed.items() if run in kept},
        )


def read_results(
    results: Path, name: str, *, probes: bool = True, plan: Mapping[str, Any] | None = None
) -> Results:
    """The experiment ``name``: every planned run, and every other run of the same config.

    A run under a seed that the last command did not ask for counts too, so that no result is
    left out by asking for less; but where seeds come in steps, the looks say which count.
    plan: what is asked for, if that is not what is on record. A run whose files are not what was
    written is "damaged" and has no numbers. Raises StoreError when there is no such experiment, or
    it cannot be read.
    """
    store = ExperimentStore(results, name)
    fault = ""
    if plan is None:
        plan, fault = store.plan_and_fault()
    notes = [f"{fault}: read from its copy, and `train` writes it anew"] if fault else []
    notes += [REBUILT] if plan.get("rebuilt") else []
    planned = plan["runs"]
    if not planned or not (
        plan["config"].keys() >= _JUDGED and all(entry.keys() >= _PLANNED for entry in planned)
    ):
        raise StoreError(
            f"{store.path / PLAN} was written by an older normbench, or is damaged\n"
            "    `normbench train` with its config writes it anew and keeps the runs"
        )
    in_steps = isinstance(plan["config"].get("seeds"), Mapping)
    entries = [*planned, *([] if in_steps else _unplanned(store, planned, notes))]
    keys = list(plan["config"].get("sweep") or {})
    rows, curves = [], _Curves()
    probed: list[dict[str, Any]] = []
    unsealed: set[str] = set()
    changed: dict[str, tuple[str, ...]] = {}
    reasons: dict[str, str] = {}
    environments: dict[str, dict[str, Any]] = {}
    swaps: dict[str, dict[str, Any]] = {}
    known: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, dict[str, Any]] = {}
    for entry in entries:
        row = {"run": entry["folder"], **{k: entry[k] for k in ("norm", "seed", "role")}}
        row |= {key: point_label(entry["point"].get(key)) for key in keys}
        row["tuned"] = next(iter(entry["tuned"].values()), NAN)
        run = store.run(entry["folder"])
        if run.name not in outcomes:  # one run may be planned in two roles
            try:
                with reported(run.path, "read"):
                    read = _read(run, probes=probes)
            except Damaged as damage:
                outcomes[run.name] = _outcome({"state": "damaged"}, [])
                reasons[run.name] = str(damage).partition("\n")[0]
            else:
                outcomes[run.name] = _outcome(read.manifest, read.metrics)
                curves.add(run.name, read.evaluations)
                if read.manifest.get("reason"):
                    reasons[run.name] = read.manifest["reason"]
                if "data" in read.manifest:
                    here = {**read.manifest.get("environment", {}), "data": read.manifest["data"]}
                    # Runs by the thousand come from a few environments.
                    environments[run.name] = known.setdefault(repr(here), here)
                if read.manifest.get("swaps"):
                    told = read.manifest["swaps"]
                    swaps[run.name] = known.setdefault(repr(told), told)
                for event in read.probes:
                    probed.append({"run": run.name, **_probe(event)})
                if read.manifest.get("changes"):
                    changed[run.name] = tuple(read.manifest["changes"])
                if read.unsealed:
                    unsealed.add(run.name)
        rows.append(row | outcomes[run.name])
    return Results(
        store.name,
        store.path,
        plan["config"],
        keys,
        _without_the_dead(pd.DataFrame(rows), store),
        curves.frame(),
        pd.DataFrame(probed, columns=None if probed else ["run", "step"]),
        reasons,
        plan.get("given") or {},
        tuple(plan.get("looked_at") or ()),
        environments,
        frozenset(unsealed),
        changed,
        tuple(notes),
        tuple(plan.get("rules") or ()),
        swaps,
    )


def _unplanned(
    store: ExperimentStore, planned: list[dict[str, Any]], notes: list[str]
) -> Iterable[dict[str, Any]]:
    """Runs on disk that share config and norm with a reported run but were not asked for.

    notes: is told of a run of which that cannot be known.
    """
    known = {entry["folder"].rpartition("-")[2] for entry in planned}
    kinds = {
        (entry["context"], entry["method"]): entry for entry in planned if entry["role"] == "report"
    }
    for folder in store.folders():
        identity = folder.rpartition("-")[2]
        if identity in known:
            continue
        run = store.run(folder)
        try:
            with reported(run.path, "read"):
                manifest, _ = _manifest(run)
        except Damaged as damage:
            told = str(damage).partition("\n")[0]
            notes.append(
                f"{told}: whether the run belongs here cannot be known, and it is left out"
            )
            continue
        kind = (manifest.get("context"), manifest.get("method"))
        if kind not in kinds:
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


@dataclass(frozen=True)
class _Run:
    """What was read of one run. probes: its first and its last one."""

    manifest: dict[str, Any]
    metrics: list[dict[str, Any]]
    probes: list[dict[str, Any]]
    unsealed: bool

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        return [event for event in self.metrics if event["event"] == "eval"]


def _manifest(run: RunStore) -> tuple[dict[str, Any], Seal | None]:
    """A run's manifest, and its seal if it has one. Raises Damaged, OSError."""
    ended = run.ended  # before anything else: a run that ends meanwhile is not damaged
    content = read_bytes(f"{run.path}/manifest.json")
    if content is None:
        if ended:
            raise Damaged(f"{run.path}/manifest.json", "it is not there any more")
        return {"state": "missing"}, None
    manifest = manifests.manifest(content, f"{run.path}/manifest.json", MANIFEST_KEYS)
    seal = run.seal(manifest) if ended else None
    if seal is not None:
        seal.check("manifest.json", content)
    if not ended and manifest["state"] in OUTCOME_STATES:
        manifest["state"] = "running"  # all but told as done
    if ended and manifest["state"] not in OUTCOME_STATES:
        raise Damaged(f"{run.path}/manifest.json", f"{manifest['state']}, but told as done")
    return manifest, seal


def _read(run: RunStore, *, probes: bool) -> _Run:
    """One run, each file held against the seal in the pass that reads it. Raises Damaged, OSError.

    Files that are not read must have their size.
    """
    manifest, seal = _manifest(run)
    if manifest["state"] == "missing":
        return _Run(manifest, [], [], False)
    metrics = run.events("metrics", seal)
    unsealed = seal is None and manifest["state"] in OUTCOME_STATES
    if unsealed:
        check_unsealed(metrics, run.journal("metrics"))
    if seal is not None:
        for name in ("config.yaml", "checkpoint.pt", *([] if probes else ["probes.jsonl"])):
            seal.check_size(name)
    return _Run(manifest, metrics, _ends(run, seal) if probes else [], unsealed)


def _outcome(manifest: dict[str, Any], metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """The columns of one run that come from its manifest and metrics."""
    none: dict[str, Any] = {}
    last = next((event for event in reversed(metrics) if event["event"] == "eval"), none)
    test = next((event for event in metrics if event["event"] == "test"), none)
    return {
        "state": manifest["state"],
        "diverged_at": _number(manifest.get("diverged_at")),
        "steps_planned": _number(manifest.get("steps")),
        "steps_done": _number(manifest.get("steps_done", last.get("step"))),
        "batch_size": _number(manifest.get("batch_size")),
        "num_classes": _number(manifest.get("num_classes")),
        "validation_images": _number(manifest.get("validation_images")),
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
        "own_terms": "; ".join(manifest.get("own_terms") or ()) or None,
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
        values = values.reshape(-1, len(_CURVE))
        clock = values[:, _CURVE.index("train_seconds")]
        least_to_come = np.fmin.accumulate(clock[::-1])[::-1]
        np.copyto(clock, least_to_come, where=clock > least_to_come)  # what is missing stays so
        for column, part in zip(self.columns, values.T, strict=True):
            column.frombytes(part.tobytes())

    def frame(self) -> pd.DataFrame:
        columns = dict(zip(_CURVE, map(np.frombuffer, self.columns), strict=True))
        codes = np.repeat(np.arange(len(self.runs)), self.counts)
        run = pd.Categorical.from_codes(codes, pd.Index(self.runs))
        step = columns["step"].astype("int64")
        return pd.DataFrame({"run": run, **columns, "step": step}, copy=False)


def _ends(run: RunStore, seal: Seal | None) -> list[dict[str, Any]]:
    """The first and the last probed step, without reading what is between. Raises Damaged."""
    path = run.journal("probes")
    if seal is not None:
        seal.check_size("probes.jsonl")
    lines = _end_lines(path)
    if seal is not None:
        seal.check_ends("probes.jsonl", lines)
    return [journal.event("probes", line, path) for line in lines]


def _end_lines(path: str) -> list[bytes]:
    """The first and the last whole line of a journal."""
    try:
        with reading(path, MOST_OF_A_JOURNAL) as lines:
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
    """Every probed step of one run: step and an array [L] a quantity. Raises StoreError."""
    return pd.DataFrame([_probe(event) for event in RunStore(folder).sealed_events("probes")])


def _probe(event: dict[str, Any]) -> dict[str, Any]:
    """A journal's line as a row; null, which stands for a non-finite number, becomes NaN."""
    step = event.pop("step")
    del event["event"]
    return {"step": step, **{name: np.array(v, dtype=float) for name, v in event.items()}}


def _number(value: Any) -> float:
    """A number of a journal; null stands for a missing or non-finite one."""
    return NAN if value is None else value
