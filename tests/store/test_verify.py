"""An experiment held against what was written, and mended without anything being deleted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from scripted import finishes, play, reseal, stops
from tiny import experiment

from normbench.errors import StoreError
from normbench.plan import expand
from normbench.store import ExperimentStore
from normbench.store.verify import repair, verify

CURVE = {0: 0.1, 12: 0.7}


@pytest.fixture
def store(tmp_path: Path, digits) -> ExperimentStore:
    play(tmp_path, experiment(), digits, lambda _: finishes(CURVE))
    return ExperimentStore(tmp_path, "tiny")


def content(folder: Path) -> list[bytes]:
    """Everything in it but locks, whatever its name is."""
    files = [path for path in folder.rglob("*") if path.is_file() and ".lock" not in path.name]
    return sorted(path.read_bytes() for path in files)


def test_an_experiment_as_it_was_written_has_no_fault(store):
    assert list(verify(store)) == []


def test_no_experiment_is_an_error_and_no_fault(tmp_path):
    with pytest.raises(StoreError, match="no experiment 'tiny'"):
        list(verify(ExperimentStore(tmp_path, "tiny")))


def test_every_damaged_run_is_named_and_set_aside_and_nothing_is_lost(store):
    one, two, *_ = store.folders()
    (store.path / one / "probes.jsonl").write_bytes(b"nothing")
    (store.path / two / "config.yaml").unlink()
    before = content(store.path)
    assert [fault.run for fault in verify(store)] == [one, two]
    assert len(list(repair(store))) == 2
    assert content(store.path) == before
    assert store.folders() == [f for f in store.folders() if f not in (one, two)]
    assert list(verify(store)) == []


def test_a_damaged_record_is_written_anew_from_its_copy(store):
    (store.path / "experiment.json").write_bytes(b"")
    (fault,) = verify(store)
    assert "experiment.json is damaged" in fault.text
    assert any("the same again" in text for text in repair(store))
    assert list(verify(store)) == []
    (store.path / "experiment.copy.json").write_bytes(b"")
    (fault,) = verify(store)
    assert "experiment.copy.json is not the copy" in fault.text
    assert any("the same again" in text for text in repair(store))
    assert list(verify(store)) == []
    for path in store.path.glob("experiment*.json"):
        path.write_bytes(b"")
    (fault,) = verify(store)
    assert "`normbench train`" in fault.remedy


def test_a_run_in_two_folders_is_told(store):
    first = store.folders()[0]
    shutil.copytree(store.path / first, store.path / "copy-s0-00000000")
    reseal(store.path / "copy-s0-00000000")
    (fault,) = verify(store)
    assert "one run stands in 2 folders" in fault.text


@pytest.mark.parametrize("key", ["backbone_sha256", "batch_order_sha256"])
def test_runs_that_did_not_begin_alike_are_told(store, key):
    path = store.path / store.folders()[0] / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: "another"}))
    reseal(path.parent)
    (fault,) = verify(store)
    assert "are not those of" in fault.text


def test_a_bad_checkpoint_of_a_run_that_goes_on_is_told(tmp_path, digits):
    play(tmp_path, experiment("norms=[none]", "seeds=1"), digits, lambda _: stops(4))
    store = ExperimentStore(tmp_path, "tiny")
    assert list(verify(store)) == []
    (run,) = expand(experiment("norms=[none]", "seeds=1"))
    (store.path / run.folder / "checkpoint.pt").write_bytes(b"weighty")
    (fault,) = verify(store)
    assert "checkpoint.pt is damaged" in fault.text
