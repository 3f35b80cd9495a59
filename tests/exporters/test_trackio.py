"""What Trackio's own client finds in an export."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from everything import REASON

from normbench.exporters import export
from normbench.store import Results

storage = pytest.importorskip(
    "trackio.sqlite_storage", reason="Trackio is not installed: nobody to read"
)


@pytest.fixture
def runs(mixed: Results, tmp_path: Path, monkeypatch):
    """run -> what Trackio knows of it: its settings, and its metrics by step."""
    export(mixed, "trackio", tmp_path / "out")
    monkeypatch.setattr(storage, "TRACKIO_DIR", tmp_path / "out" / "trackio")
    found = storage.SQLiteStorage
    return {
        record["name"]: (
            found.get_run_config(mixed.name, record["name"]),
            found.get_logs(mixed.name, record["name"]),
        )
        for record in found.get_run_records(mixed.name)
    }


def test_every_run_is_found_with_its_settings_and_its_state(mixed, runs):
    assert set(runs) == set(mixed.runs["run"])
    for row in mixed.runs.to_dict("records"):
        settings, _ = runs[row["run"]]
        assert (settings["norm"], settings["state"]) == (row["norm"], row["state"])
        assert settings.get("reason") == mixed.reasons.get(row["run"])
    assert REASON in {settings.get("reason") for settings, _ in runs.values()}


def test_every_evaluation_is_a_point_of_a_metric(mixed, runs):
    count = 0
    for name, (_, logs) in runs.items():
        curve = mixed.curves[mixed.curves["run"] == name]
        found = {log["step"]: log for log in logs}
        for row in curve.to_dict("records"):
            told = found[row["step"]].get("val_accuracy")
            if math.isfinite(row["val_accuracy"]):
                assert told == row["val_accuracy"]
                count += 1
            else:
                assert told is None
    assert count > 10
