"""What TensorBoard's own readers find in an export."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from everything import LABEL, REASON
from scripted import probed
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray

from normbench.analysis.signal import growth_per_layer
from normbench.exporters import export
from normbench.exporters.tables import verdicts
from normbench.store import Results


def read(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "histograms": 0}).Reload()


def scalars(events: EventAccumulator, tag: str) -> dict[int, float]:
    if tag not in events.Tags()["scalars"]:
        return {}
    return {event.step: event.value for event in events.Scalars(tag)}


def hparams(events: EventAccumulator, tag: str) -> HParamsPluginData:
    content = events.SummaryMetadata(tag).plugin_data.content
    return HParamsPluginData.FromString(content)


def journal(results: Results, run: str, name: str, event: str) -> list[dict]:
    path = results.path / run / f"{name}.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [found for found in map(json.loads, lines) if found["event"] == event]


def run_of(results: Results, norm: str) -> str:
    return results.runs.loc[results.runs["norm"] == norm, "run"].iloc[0]


@pytest.fixture
def logs(mixed, tmp_path) -> Path:
    export(mixed, "tensorboard", tmp_path / "logs")
    return tmp_path / "logs"


@pytest.mark.parametrize("quantity", ["val_accuracy", "val_loss", "train_loss", "train_seconds"])
def test_every_evaluation_of_every_run_is_found(mixed, logs, quantity):
    points = 0
    for run in mixed.runs["run"]:
        found = scalars(read(logs / run), quantity)
        wanted = {
            event["step"]: math.nan if event[quantity] is None else event[quantity]
            for event in journal(mixed, run, "metrics", "eval")
            if quantity != "train_loss" or event["step"] > 0
        }
        assert list(found) == list(wanted)
        np.testing.assert_array_equal(
            np.float32(list(found.values())), np.float32(list(wanted.values()))
        )
        points += len(found)
    assert points >= 6


def test_the_test_accuracy_stands_at_the_last_update(mixed, logs):
    assert scalars(read(logs / run_of(mixed, LABEL)), "test_accuracy") == {12: 0.5}
    assert scalars(read(logs / run_of(mixed, "rms")), "test_accuracy") == {}


def test_accuracies_that_an_older_journal_lacks_are_no_points(mixed, logs):
    for quantity in ("train_accuracy", "val_accuracy_precise"):
        assert scalars(read(logs / run_of(mixed, LABEL)), quantity) == {}


def test_a_divergence_is_told_with_its_update(mixed, logs):
    assert scalars(read(logs / run_of(mixed, "none")), "diverged_at") == {3: 3.0}
    assert scalars(read(logs / run_of(mixed, LABEL)), "diverged_at") == {}


def test_the_reason_of_a_failed_run_is_a_text(mixed, logs):
    (event,) = read(logs / run_of(mixed, "layer")).Tensors("reason")
    assert make_ndarray(event.tensor_proto).item().decode() == REASON


def test_the_gradients_are_those_of_every_probed_step(mixed, logs):
    events = read(logs / run_of(mixed, LABEL))
    first = scalars(events, "gradients/first_layer_grad_norm")
    last = scalars(events, "gradients/last_layer_grad_norm")
    growth = scalars(events, "gradients/growth_per_layer")
    assert first == {0: pytest.approx(0.1), 3: 0.0, 11: pytest.approx(0.1)}
    assert last == {0: pytest.approx(0.4), 3: 0.25, 11: pytest.approx(0.4)}
    assert growth == {
        0: pytest.approx(growth_per_layer([0.1, 0.2, 0.4])),
        3: 0.0,
        11: pytest.approx(growth_per_layer([0.1, 0.2, 0.4])),
    }
    assert set(scalars(events, "gradients/weight_growth_per_layer").values()) == {1.0}


def test_histograms_count_the_layers(mixed, logs):
    events = read(logs / run_of(mixed, LABEL))
    found = {
        e.step: e.histogram_value for e in events.Histograms("layers/log10_activation_gradient")
    }
    assert list(found) == [0, 3, 11]
    assert (found[0].num, found[3].num) == (3, 1)  # a zero has no logarithm
    assert found[0].min == pytest.approx(-1)
    assert found[0].max == pytest.approx(np.log10(0.4))
    assert found[0].sum == pytest.approx(np.log10([0.1, 0.2, 0.4]).sum())
    for value in found.values():
        assert sum(value.bucket) == value.num
        assert len(value.bucket) == len(value.bucket_limit)
        assert value.bucket_limit[-1] >= value.max
    tags = {f"layers/{name}" for name in probed(0).quantities}
    logarithmic = {"activation_gradient", "weight_gradient", "update_ratio"}
    for name in logarithmic:
        tags = tags - {f"layers/{name}"} | {f"layers/log10_{name}"}
    assert set(events.Tags()["histograms"]) == tags


def test_the_wall_time_is_the_training_time(mixed, logs):
    events = read(logs / run_of(mixed, LABEL)).Scalars("val_accuracy")
    assert [event.wall_time for event in events] == [0.0, 0.005, 0.01, 0.012]
    probes = read(logs / run_of(mixed, LABEL)).Scalars("gradients/growth_per_layer")
    assert [event.wall_time for event in probes] == pytest.approx([0.0, 0.003, 0.011])


def test_hparams_tells_each_run_from_the_others(mixed, logs):
    for row in mixed.runs.to_dict("records"):
        info = hparams(read(logs / row["run"]), metadata.SESSION_START_INFO_TAG).session_start_info
        told = {name: value.WhichOneof("kind") for name, value in info.hparams.items()}
        assert told.keys() == {"norm", "optimizer.clip_norm", "seed", "role", "state", "verdict"}
        assert info.group_name == row["run"]
        assert info.hparams["norm"].string_value == row["norm"]
        assert info.hparams["seed"].number_value == row["seed"]
        assert info.hparams["state"].string_value == row["state"]
        assert info.hparams["optimizer.clip_norm"].string_value == str(row["optimizer.clip_norm"])


def test_hparams_tells_the_verdict_on_the_norm_of_a_judged_run(tuned, mixed, tmp_path):
    export(tuned, "tensorboard", tmp_path / "logs of tuned")
    words = {}
    for row in tuned.runs.to_dict("records"):
        info = hparams(
            read(tmp_path / "logs of tuned" / row["run"]), metadata.SESSION_START_INFO_TAG
        )
        values = info.session_start_info.hparams
        words[values["role"].string_value] = values["verdict"].string_value
    assert words == {"report": "leader", "tune": ""}
    export(mixed, "tensorboard", tmp_path / "logs")
    wanted = verdicts(mixed).set_index("norm")["verdict"]
    for row in mixed.runs.to_dict("records"):
        info = hparams(read(tmp_path / "logs" / row["run"]), metadata.SESSION_START_INFO_TAG)
        told = info.session_start_info.hparams["verdict"].string_value
        assert told in set(wanted[[row["norm"]]])


def test_hparams_declares_its_columns_and_metrics_once(logs):
    found = hparams(read(logs), metadata.EXPERIMENT_TAG).experiment
    domains = {
        i.name: [v.string_value for v in i.domain_discrete.values] for i in found.hparam_infos
    }
    assert domains["norm"] == sorted(["none", LABEL, "layer", "rms", "group"])
    assert domains["optimizer.clip_norm"] == ["1.0", "null"]
    assert "val_accuracy" in {info.name.tag for info in found.metric_infos}


def test_a_tuned_key_is_a_column_with_the_configs_value_where_nothing_was_tuned(tuned, tmp_path):
    export(tuned, "tensorboard", tmp_path / "logs")
    found = {}
    for row in tuned.runs.to_dict("records"):
        info = hparams(read(tmp_path / "logs" / row["run"]), metadata.SESSION_START_INFO_TAG)
        values = info.session_start_info.hparams
        found[values["role"].string_value, values["optimizer.lr"].number_value] = True
    assert {("report", 0.1), ("tune", 0.05), ("tune", 0.1)} == set(found)


def test_exporting_loads_no_torch(mixed, tmp_path):
    code = (
        "import sys; from pathlib import Path; from normbench.api import export\n"
        f"export('tiny', 'tensorboard', results={str(mixed.path.parent)!r})\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
