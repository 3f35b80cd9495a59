"""TensorBoard: curves, histograms over the layers, and the HPARAMS tab."""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.exporters.base import EXPORTERS, Files, needs
from normbench.exporters.history import METRICS, run_settings, seconds_at, tracked_runs
from normbench.store import Results

if TYPE_CHECKING:
    from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary

Floats = NDArray[np.float64]

FILE = "events.out.tfevents.normbench"
"""TensorBoard takes every file with ``tfevents`` in its name."""

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
        hparams.HParam(name, hparams.Discrete({setting[name] for setting in settings.values()}))
        for name in next(iter(settings.values()))
    ]
    metrics = [hparams.Metric(name) for name in METRICS]
    config = hparams.hparams_config_pb(described, metrics, time_created_secs=0)
    yield FILE, _event_file({0: config}, pd.DataFrame({"step": [0], "train_seconds": [0.0]}))

    for run in tracked_runs(results):
        steps: dict[int, Summary] = defaultdict(Summary)
        trial = hparams.hparams_pb(run.settings, trial_id=run.name, start_time_secs=0)
        steps[0].MergeFrom(trial)
        if run.reason is not None:
            steps[0].MergeFrom(text_pb("reason", run.reason))
        for tag, points in run.points.items():
            for step, value in points:
                steps[step].value.add(tag=tag, simple_value=value)
        _add_layers(steps, run.probes)
        yield f"{run.name}/{FILE}", _event_file(steps, run.curve)


def _add_layers(steps: dict[int, Summary], probes: pd.DataFrame) -> None:
    for row in probes.to_dict("records"):
        values = steps[row.pop("step")].value
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
        event = Event(wall_time=seconds_at(step, curve), step=step, summary=steps[step])
        writer.write(event.SerializeToString())
    return file.getvalue()
