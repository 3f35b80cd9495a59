"""A run continues on the ground that it began on, or says so for good."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedExecutor, evaluated, finishes, manifest, play, started, stops
from tiny import experiment

from normbench.errors import StoreError
from normbench.execution import execute
from normbench.execution.ground import changes
from normbench.plan import expand
from normbench.report.fates import caveats
from normbench.results.experiment import ExperimentResult
from normbench.store import ExperimentStore, read_results
from normbench.training import events

ONE = ("norms=[none]", "seeds=1")


def begun(root: Path, digits: Any, **fields: Any) -> Path:
    """A run that stopped at step 4, begun with ``fields`` in its manifest."""
    play(root, experiment(*ONE), digits, lambda _: stops(4))
    (run,) = expand(experiment(*ONE))
    path = root / "tiny" / run.folder / "manifest.json"
    found = json.loads(path.read_text())
    torch = fields.pop("torch", None)
    if torch:
        found["environment"]["packages"]["torch"] = torch
    path.write_text(json.dumps(found | fields))
    return path.parent


def goes_on(root: Path, digits: Any, **options: bool):
    rest = [
        started(step=4),
        *[e for e in finishes({5: 0.5, 12: 0.7}) if type(e) is not events.Started],
    ]
    store = ExperimentStore(root, "tiny")
    return execute(
        expand(experiment(*ONE)), store, digits, ScriptedExecutor(lambda _: rest), **options
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"torch": "2.0.0"}, "torch 2.0.0, now"),
        ({"device": "cuda:7"}, "device cuda:7, now cpu"),
        ({"threads": 64}, "threads 64, now 1"),
    ],
)
def test_other_ground_is_refused_or_told_for_good(tmp_path, digits, fields, told):
    folder = begun(tmp_path, digits, **fields)
    before = manifest(folder)
    with pytest.raises(StoreError, match=rf"{told}.*\n.*--accept-changes") as caught:
        goes_on(tmp_path, digits)
    assert caught.value.exit_code == 4
    assert manifest(folder) == before
    assert goes_on(tmp_path, digits, accept_changes=True).finished == 1
    (change,) = manifest(folder)["changes"]
    assert change.startswith(told)
    assert change.endswith("from step 4")
    (text,) = (
        t for t in caveats(ExperimentResult(read_results(tmp_path, "tiny"))) if "ground" in t
    )
    assert told in text


def test_the_same_ground_needs_no_word(tmp_path, digits):
    folder = begun(tmp_path, digits)
    assert goes_on(tmp_path, digits).finished == 1
    assert "changes" not in manifest(folder)


def test_what_begins_anew_stands_on_what_there_is(tmp_path, digits):
    folder = begun(tmp_path, digits, torch="2.0.0")
    (folder / "checkpoint.pt").unlink()
    script = lambda _: [started(), evaluated(0, 0.1), events.Failed("no")]  # noqa: E731
    store = ExperimentStore(tmp_path, "tiny")
    assert (
        len(execute(expand(experiment(*ONE)), store, digits, ScriptedExecutor(script)).failed) == 1
    )


def test_what_a_manifest_does_not_say_is_no_change():
    assert changes({}, {"device": "cpu", "threads": 1}) == []
    assert changes({"environment": {"packages": [1]}}, {"device": "cpu"}) == []
