"""MLflow: a local file store, one experiment with one run a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import yaml

from normbench.exporters.base import EXPORTERS, Files
from normbench.exporters.history import identity_of, tracked_runs
from normbench.store import Results
from normbench.store.files import to_json

# The numbers of mlflow.entities.RunStatus.
_STATUS = {"finished": 3, "diverged": 3, "failed": 4, "interrupted": 5, "running": 1, "missing": 2}
_LOCAL = 4  # of mlflow.entities.SourceType


@EXPORTERS.register("mlflow")
def mlflow(results: Results) -> Files:
    """An MLflow file store (no extra needed to write it): an experiment, its runs, their metrics.

    Metrics by step: those of the TensorBoard export; steps_done, once. Parameters: norm, seed,
    role, state, the swept and the tuned keys, and the verdict on its norm where the run is among
    those judged. Tags: the run's folder, and the reason where it failed. Artifact: run.json, its
    row of the csv export. A run that diverged counts as finished: that it did is its result.

    The files are written as MLflow 2 and 3 read them, without MLflow. The results know no dates: a
    metric's time is ``train_seconds`` after 1970-01-01. MLflow 3 reads a file store where
    MLFLOW_ALLOW_FILE_STORE=true is set: ``mlflow ui --backend-store-uri EXPORT/mlruns``.
    """
    number = str(int(identity_of(results.name)[:15], 16))  # MLflow's own are of 18 digits
    experiment = {
        "artifact_location": number,
        "creation_time": 0,
        "experiment_id": number,
        "last_update_time": 0,
        "lifecycle_stage": "active",
        "name": results.name,
    }
    yield f"mlruns/{number}/meta.yaml", _yaml(experiment)
    for run in tracked_runs(results):
        folder = f"mlruns/{number}/{run.identity}"
        seconds = float(np.nan_to_num(run.row["train_seconds"]))
        about_run = _run(number, run.identity, run.name, run.row["state"], seconds)
        yield f"{folder}/meta.yaml", _yaml(about_run)
        tags = {"mlflow.runName": run.name, "experiment": results.name}
        if run.reason is not None:
            tags["reason"] = run.reason
        for name, text in tags.items():
            yield f"{folder}/tags/{name}", text.encode()
        for name, value in run.settings.items():
            yield f"{folder}/params/{name}", str(value).encode()
        # MLflow takes a run only if it has metrics and an artifact, also one that never began.
        about = {"run": run.name, **run.row.to_dict(), "reason": run.reason}
        yield f"{folder}/artifacts/run.json", (to_json(about, indent=1) + "\n").encode()
        for tag, points in {"steps_done": [(0, run.row["steps_done"])], **run.points}.items():
            lines = [
                f"{round(1000 * run.seconds_at(step))} {float(value)!r} {step}\n"
                for step, value in points
            ]
            yield f"{folder}/metrics/{tag}", "".join(lines).encode()


def _run(number: str, identity: str, run: str, state: str, seconds: float) -> dict[str, Any]:
    return {
        "artifact_uri": f"{number}/{identity}/artifacts",
        "end_time": round(1000 * seconds),
        "entry_point_name": "",
        "experiment_id": number,
        "lifecycle_stage": "active",
        "run_id": identity,
        "run_name": run,
        "run_uuid": identity,
        "source_name": "",
        "source_type": _LOCAL,
        "source_version": "",
        "start_time": 0,
        "status": _STATUS[state],
        "tags": [],
        "user_id": "normbench",
    }


def _yaml(content: Mapping[str, Any]) -> bytes:
    return yaml.safe_dump(dict(content)).encode()
