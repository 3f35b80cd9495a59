"""An experiment held against what was written, and mended without anything being deleted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from scripted import finishes, play, reseal, stops
from tiny import experiment

from normbench.config import load
from normbench.errors import StoreError
from normbench.plan import expand
from normbench.results.experiment import ExperimentResult
from normbench.store import ExperimentStore, read_results
from normbench.store.experiment import COPY, PLAN
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


@pytest.mark.parametrize("name", [PLAN, COPY])
def test_a_folder_in_the_place_of_the_record_or_its_copy_is_set_aside(store, name):
    good = (store.path / PLAN).read_bytes()
    (store.path / name).unlink()
    (store.path / name).mkdir()
    (store.path / name / "kept").write_bytes(b"kept")
    (fault,) = verify(store)
    assert f"{name} is damaged (is a directory)" in fault.text
    list(repair(store))
    assert list(verify(store)) == []
    assert [(store.path / part).read_bytes() for part in (PLAN, COPY)] == [good, good]
    assert list((store.path / ".set-aside").glob("*/kept"))


def test_a_run_in_two_folders_is_told(store):
    first = store.folders()[0]
    copy = f"copy-s0-{first.rpartition('-')[2]}"
    shutil.copytree(store.path / first, store.path / copy)
    reseal(store.path / copy)
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


# --- without the record ---


def resolve(tree: dict[str, Any]) -> dict[str, Any]:
    return load(yaml.safe_dump(tree, sort_keys=False)).resolved()


def test_a_record_that_alone_is_gone_is_read_from_its_copy(store):
    want = ExperimentResult(read_results(store.results, "tiny")).to_dict()
    (store.path / PLAN).unlink()
    found = read_results(store.results, "tiny")
    assert ExperimentResult(found).to_dict() == want
    assert any("not there any more" in note for note in found.notes)
    list(repair(store, resolve))
    assert list(verify(store)) == []


@pytest.mark.parametrize("lost", ["gone", "zeros"])
def test_without_record_and_copy_the_runs_tell_what_the_experiment_was(tmp_path, digits, lost):
    swept = experiment("sweep={model.depth: [4, 3]}", "norms=[none, batch]")
    play(tmp_path, swept, digits, lambda run: finishes({0: 0.1, 12: 0.5 + 0.01 * run.seed}))
    store = ExperimentStore(tmp_path, "tiny")
    want = read_results(tmp_path, "tiny")
    for name in (PLAN, COPY):
        if lost == "gone":
            (store.path / name).unlink()
        else:
            (store.path / name).write_bytes(bytes(100))
    (fault,) = verify(store)
    assert "--repair makes one from the runs" in fault.remedy
    assert list(repair(store, resolve)) == ["the record of tiny is made anew from 8 runs"]
    assert list(verify(store)) == []
    found = read_results(tmp_path, "tiny")
    assert any("how they were to be judged" in note for note in found.notes)
    by = ["norm", "model.depth", "seed"]
    columns = [*by, "val_accuracy", "state", "role"]
    one, other = (each.runs.sort_values(by)[columns] for each in (want, found))
    assert one.to_dict("records") == other.to_dict("records")
    config = store.read_plan()["config"]
    assert config["sweep"] == {"model.depth": [3, 4]}
    assert config["data"] == swept.resolved()["data"]
    # The next command has the config, and needs no guess.
    play(tmp_path, swept, digits, lambda run: None)
    assert read_results(tmp_path, "tiny").notes == ()


def test_runs_that_searched_own_best_values_do_not_tell_it(tmp_path, digits):
    tuned = experiment("tune={optimizer.lr: [0.1, 0.2], seeds: 3}", "norms=[none]", "seeds=1")
    play(tmp_path, tuned, digits, lambda run: finishes(CURVE))
    store = ExperimentStore(tmp_path, "tiny")
    for name in (PLAN, COPY):
        (store.path / name).unlink()
    with pytest.raises(StoreError, match="searched own best values"):
        list(repair(store, resolve))


def test_without_any_run_there_is_nothing_to_make_it_from(store):
    for folder in store.folders():
        (store.path / folder / "config.yaml").unlink()
    for name in (PLAN, COPY):
        (store.path / name).unlink()
    with pytest.raises(StoreError, match=r"no run in .* tells what the experiment was"):
        list(repair(store, resolve))
