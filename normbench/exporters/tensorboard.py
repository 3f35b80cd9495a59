"""TensorBoard: curves, histograms over the layers, and the HPARAMS tab."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.analysis.signal import growth_of_rows
from normbench.dotted import flatten_config, tuned_key
from normbench.exporters.base import EXPORTERS, Files, needs
from normbench.exporters.tables import verdicts
from normbench.results.experiment import ExperimentResult
from normbench.store import Results
from normbench.store.read import read_probes

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary

Floats = NDArray[np.float64]

FILE = "events.out.tfevents.normbench"
"""TensorBoard takes every file with ``tfevents`` in its name."""

CURVES = ("val_accuracy", "val_loss", "train_loss", "train_seconds", "train_accuracy")
ONCE = ("test_accuracy", "val_accuracy_precise")
METRICS = (*CURVES, *ONCE, "diverged_at")
"""The scalars of the HPARAMS tab, each with its last value."""

_LOGARITHMIC = {"activation_gradient", "weight_gradient", "update_ratio", "effective_rate"}
"""They span orders of magnitude from layer to layer; TensorBoard's histograms are linear."""


@EXPORTERS.register("tensorboard")
def tensorboard(results: Results) -> Files:
    """TensorBoard event files, one log folder a run, and the HPARAMS tab (extra: tensorboard).

    Scalars by step: val_accuracy, val_loss, train_loss, train_seconds, train_accuracy;
    test_accuracy and val_accuracy_precise, once; diverged_at, where a run did; and of the gradients
    at every probed step growth_per_layer, weight_growth_per_layer, first_layer_grad_norm and
    last_layer_grad_norm. Histograms over the layers: every probed quantity, those that span orders
    of magnitude as log10 (zeros left out).
    HPARAMS: norm, seed, role, state, the swept and the tuned keys, and the verdict on its norm
    where the run is among those judged, against the last values of the curves. A run that failed
    has its reason as text, one that never began its row in HPARAMS.

    Values are 32-bit floats, as event files have them. The results know no dates: the wall time is
    ``train_seconds`` after 1970-01-01, so the relative axis shows seconds of training.
    """
    with needs("tensorboard"):
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.plugins.hparams import summary_v2 as hparams
        from tensorboard.plugins.text.summary_v2 import text_pb

    settings = run_settings(results)
    described = [
        hparams.HParam(name, hparams.Discrete({found[name] for found in settings.values()}))
        for name in next(iter(settings.values()))
    ]
    metrics = [hparams.Metric(name) for name in METRICS]
    config = hparams.hparams_config_pb(described, metrics, time_created_secs=0)
    yield FILE, _event_file({0: config}, pd.DataFrame({"step": [0], "train_seconds": [0.0]}))

    runs = results.runs.drop_duplicates("run").set_index("run")
    curves = dict(tuple(results.curves.groupby("run", observed=True)))
    for run, row in runs.iterrows():
        steps: dict[int, Summary] = defaultdict(Summary)
        steps[0].MergeFrom(hparams.hparams_pb(settings[run], trial_id=run, start_time_secs=0))
        if run in results.reasons:
            steps[0].MergeFrom(text_pb("reason", results.reasons[run]))
        curve = curves.get(run, results.curves[:0])
        _add_curve(steps, curve, row)
        _add_probes(steps, read_probes(results.path / run))
        yield f"{run}/{FILE}", _event_file(steps, curve)


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


def _add_curve(steps: dict[int, Summary], curve: pd.DataFrame, run: pd.Series) -> None:
    for row in curve.to_dict("records"):
        for tag in CURVES:
            # There is no training loss before the first update, and no training accuracy in the
            # journals of an older normbench.
            absent = row["step"] == 0 if tag == "train_loss" else tag == "train_accuracy"
            if not (absent and np.isnan(row[tag])):
                steps[row["step"]].value.add(tag=tag, simple_value=row[tag])
    for tag in ONCE:
        if not np.isnan(run[tag]):
            steps[int(run["steps_done"])].value.add(tag=tag, simple_value=run[tag])
    if not np.isnan(run["diverged_at"]):
        at = int(run["diverged_at"])
        steps[at].value.add(tag="diverged_at", simple_value=at)


def _add_probes(steps: dict[int, Summary], probes: pd.DataFrame) -> None:
    for row in probes.to_dict("records"):
        values = steps[row.pop("step")].value
        activation, weight = row["activation_gradient"], row["weight_gradient"]
        sizes = np.atleast_1d(row.get("layer_size", np.nan))[None]
        scalars = {
            "growth_per_layer": growth_of_rows(activation[None], sizes)[0],
            "weight_growth_per_layer": growth_of_rows(weight[None], sizes)[0],
            "first_layer_grad_norm": activation[0],
            "last_layer_grad_norm": activation[-1],
        }
        for name, value in scalars.items():
            values.add(tag=f"gradients/{name}", simple_value=value)
        for name, measured in row.items():
            layers = np.atleast_1d(measured)  # NaN: an older normbench did not probe it yet
            if name in _LOGARITHMIC:
                name, layers = f"log10_{name}", np.log10(layers[layers > 0])
            layers = layers[np.isfinite(layers)]
            if len(layers):
                values.add(tag=f"layers/{name}", histo=_histogram(layers))


def _histogram(values: Floats) -> HistogramProto:
    from tensorboard.compat.proto.summary_pb2 import HistogramProto

    counts, edges = np.histogram(values)
    return HistogramProto(
        min=values.min(),
        max=values.max(),
        num=len(values),
        sum=values.sum(),
        sum_squares=(values**2).sum(),
        bucket_limit=edges[1:],
        bucket=counts,
    )


def _event_file(steps: Mapping[int, Summary], curve: pd.DataFrame) -> bytes:
    """The bytes of an event file: one event a step, its wall time taken from ``curve``."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    file = io.BytesIO()
    # Not EventFileWriter, which puts the time, the machine and the process into name and content.
    writer = RecordWriter(file)
    writer.write(Event(file_version="brain.Event:2").SerializeToString())
    for step in sorted(steps):
        seconds = np.interp(step, curve["step"], curve["train_seconds"]) if len(curve) else 0.0
        event = Event(wall_time=seconds, step=step, summary=steps[step])
        writer.write(event.SerializeToString())
    return file.getvalue()
