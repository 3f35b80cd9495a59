"""What MLflow's own client finds in an export."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from everything import LABEL, REASON

from normbench.analysis.signal import growth_per_layer
from normbench.exporters import export
from normbench.exporters.tables import verdicts
from normbench.store import Results

tracking = pytest.importorskip("mlflow.tracking", reason="MLflow is not installed: nobody to read")


@pytest.fixture(autouse=True)
def file_store_allowed(monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")


def read(results: Results, out: Path):
    """The client, and the runs by their names."""
    export(results, "mlflow", out)
    client = tracking.MlflowClient((out / "mlruns").as_uri())
    experiment = client.get_experiment_by_name(results.name)
    runs = client.search_runs([experiment.experiment_id])
    return client, {run.info.run_name: run for run in runs}


def test_every_run_is_found_with_its_settings_and_its_state(mixed, tmp_path):
    _, runs = read(mixed, tmp_path / "out")
    assert set(runs) == set(mixed.runs["run"])
    ends = {"finished": "FINISHED", "diverged": "FINISHED", "failed": "FAILED"}
    ends |= {"interrupted": "KILLED", "missing": "SCHEDULED"}
    told = verdicts(mixed).set_index("norm")["verdict"]
    for row in mixed.runs.to_dict("records"):
        run = runs[row["run"]]
        assert run.info.status == ends[row["state"]]
        params = run.data.params
        assert (params["norm"], params["state"]) == (row["norm"], row["state"])
        assert params["optimizer.clip_norm"] == str(row["optimizer.clip_norm"])
        assert params["verdict"] in set(told[[row["norm"]]])


def test_every_evaluation_is_a_point_of_a_metric(mixed, tmp_path):
    client, runs = read(mixed, tmp_path / "out")
    count = 0
    for name, run in runs.items():
        curve = mixed.curves[mixed.curves["run"] == name]
        found = client.get_metric_history(run.info.run_id, "val_accuracy") if len(curve) else []
        assert [point.step for point in found] == list(curve["step"])
        assert [point.value for point in found] == list(curve["val_accuracy"])
        milliseconds = [round(1000 * seconds) for seconds in curve["train_seconds"]]
        assert [point.timestamp for point in found] == milliseconds
        count += len(found)
    assert count == len(mixed.curves)


def test_a_loss_that_is_no_number_and_a_divergence_are_told(mixed, tmp_path):
    client, runs = read(mixed, tmp_path / "out")
    name = mixed.runs.loc[mixed.runs["norm"] == "none", "run"].iloc[0]
    losses = client.get_metric_history(runs[name].info.run_id, "val_loss")
    assert math.isnan(losses[0].value)
    assert runs[name].data.metrics["diverged_at"] == 3.0


def test_gradients_and_the_reason_of_a_failure_are_there(mixed, tmp_path):
    client, runs = read(mixed, tmp_path / "out")
    of = mixed.runs.drop_duplicates("norm").set_index("norm")["run"]
    run = runs[of[LABEL]].info.run_id
    growth = client.get_metric_history(run, "gradients/growth_per_layer")
    assert [point.step for point in growth] == [0, 3, 11]
    assert growth[0].value == pytest.approx(growth_per_layer([0.1, 0.2, 0.4]))
    assert runs[of["layer"]].data.tags["reason"] == REASON


def test_a_run_that_never_began_can_be_asked_for(empty, tmp_path):
    client, runs = read(empty, tmp_path / "out")
    for run in runs.values():
        found = client.get_run(run.info.run_id)
        assert math.isnan(found.data.metrics["steps_done"])
        assert found.data.params["state"] == "missing"
