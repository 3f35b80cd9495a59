"""What formats for experiment trackers share: a run's settings, and its scalars by step."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.signal import growth_of_rows
from normbench.dotted import flatten_config, tuned_key
from normbench.exporters.tables import verdicts
from normbench.results.experiment import ExperimentResult
from normbench.store import Results
from normbench.store.read import read_probes

CURVES = ("val_accuracy", "val_loss", "train_loss", "train_seconds", "train_accuracy")
ONCE = ("test_accuracy", "val_accuracy_precise")
METRICS = (*CURVES, *ONCE, "diverged_at")
"""The scalars of a whole run; those of the gradients come besides."""


@dataclass(frozen=True)
class TrackedRun:
    """A run as trackers take it.

    identity: 32 hexadecimal digits, the same at every export; row: of ``Results.runs``; curve: its
    rows of ``Results.curves``; probes: see ``store.read.read_probes``; reason: why it failed, or
    None.
    """

    name: str
    identity: str
    row: pd.Series
    curve: pd.DataFrame
    probes: pd.DataFrame
    settings: dict[str, Any]
    reason: str | None

    @property
    def points(self) -> dict[str, list[tuple[int, float]]]:
        """Its ``scalars``."""
        return scalars(self.curve, self.row, self.probes)

    def seconds_at(self, step: int) -> float:
        """Seconds of training up to ``step``; 0 of a run that never began."""
        return seconds_at(step, self.curve)


def tracked_runs(results: Results) -> Iterator[TrackedRun]:
    """Every run of the plan once, also one that never began."""
    settings = run_settings(results)
    curves = dict(tuple(results.curves.groupby("run", observed=True)))
    for run, row in results.runs.drop_duplicates("run").set_index("run").iterrows():
        name = str(run)
        yield TrackedRun(
            name,
            identity_of(results.name, name),
            row,
            curves.get(run, results.curves[:0]),
            read_probes(results.path / name),
            settings[name],
            results.reasons.get(name),
        )


def run_settings(results: Results) -> dict[str, dict[str, Any]]:
    """run -> what tells it from the others, each name with values of one type."""
    runs = results.runs
    table = runs.groupby("run", sort=False).agg(
        {"norm": "first", **dict.fromkeys(results.keys, "first"), "seed": "first"}
        | {"role": "+".join, "state": "first", "tuned": "first"}
    )
    tuned = table.pop("tuned")
    if key := tuned_key(results.config):
        table[key] = tuned.fillna(flatten_config(results.config)[key])
    table["verdict"] = _verdicts(results, table)
    for name in table:
        number = pd.api.types.is_numeric_dtype(table[name])
        table[name] = table[name].map(float if number else str).astype(object)
    return {str(run): dict(row) for run, row in table.iterrows()}


def _verdicts(results: Results, table: pd.DataFrame) -> list[str]:
    """The verdict on each run's norm at its sweep point; "" for runs that are not judged."""
    by, told = ["norm", *results.keys], verdicts(results)
    if told.empty:
        return [""] * len(table)
    words = {tuple(map(str, row[by])): row["verdict"] for _, row in told.iterrows()}
    judged = set(ExperimentResult(results).answered.results.runs["run"])
    return [
        words.get(tuple(map(str, row[by])), "") if run in judged else ""
        for run, row in table.iterrows()
    ]


def scalars(
    curve: pd.DataFrame, run: pd.Series, probes: pd.DataFrame
) -> dict[str, list[tuple[int, float]]]:
    """tag -> (step, value) in order of the steps. A value that is no number is NaN.

    curve: the run's rows of ``Results.curves``; run: its row of ``Results.runs``; probes: see
    ``store.read.read_probes``. Tags: ``METRICS``; of the gradients at every probed step
    gradients/growth_per_layer, gradients/weight_growth_per_layer, gradients/first_layer_grad_norm
    and gradients/last_layer_grad_norm.
    """
    series: dict[str, list[tuple[int, float]]] = {}
    for row in curve.to_dict("records"):
        for tag in CURVES:
            # There is no training loss before the first update, and no training accuracy in the
            # journals of an older normbench.
            absent = row["step"] == 0 if tag == "train_loss" else tag == "train_accuracy"
            if not (absent and np.isnan(row[tag])):
                series.setdefault(tag, []).append((row["step"], row[tag]))
    for tag in ONCE:
        if not np.isnan(run[tag]):
            series[tag] = [(int(run["steps_done"]), run[tag])]
    if not np.isnan(run["diverged_at"]):
        at = int(run["diverged_at"])
        series["diverged_at"] = [(at, float(at))]
    for row in probes.to_dict("records"):
        activation, weight = row["activation_gradient"], row["weight_gradient"]
        sizes = np.atleast_1d(row.get("layer_size", np.nan))[None]
        told = {
            "growth_per_layer": growth_of_rows(activation[None], sizes)[0],
            "weight_growth_per_layer": growth_of_rows(weight[None], sizes)[0],
            "first_layer_grad_norm": activation[0],
            "last_layer_grad_norm": activation[-1],
        }
        for name, value in told.items():
            series.setdefault(f"gradients/{name}", []).append((row["step"], float(value)))
    return series


def by_step(points: dict[str, list[tuple[int, float]]]) -> dict[int, dict[str, float]]:
    """step -> tag -> value, in order of the steps, of what ``scalars`` gives."""
    steps: dict[int, dict[str, float]] = {}
    for tag, told in points.items():
        for step, value in told:
            steps.setdefault(step, {})[tag] = value
    return dict(sorted(steps.items()))


def seconds_at(step: int, curve: pd.DataFrame) -> float:
    """Seconds of training up to ``step``, from the run's rows of ``Results.curves``; else 0."""
    return float(np.interp(step, curve["step"], curve["train_seconds"])) if len(curve) else 0.0


def identity_of(*names: str) -> str:
    """32 hexadecimal digits, the same for the same names: what a tracker knows a run by."""
    return hashlib.sha256("/".join(names).encode()).hexdigest()[:32]
