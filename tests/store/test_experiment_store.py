"""One experiment's folder: its plan, its lock, and who may read it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from normbench.errors import StoreError
from normbench.store import SCHEMA, ExperimentStore
from normbench.store.experiment import COPY, LOCK_SECONDS, PLAN, experiments
from normbench.store.files import Damaged


def planned(results: Path, *names: str) -> None:
    for name in names:
        store = ExperimentStore(results, name)
        store.path.mkdir(parents=True)
        store.write_plan({"name": name}, [{"folder": "a"}])


def test_a_plan_reads_back(tmp_path):
    planned(tmp_path, "one")
    assert ExperimentStore(tmp_path, "one").read_plan() == {
        "schema": SCHEMA,
        "name": "one",
        "config": {"name": "one"},
        "runs": [{"folder": "a"}],
        "rules": [{"seeds": 0, "verdict": None}],
    }


def test_an_unknown_experiment_is_refused_with_the_nearest_and_all_known(tmp_path):
    planned(tmp_path, "digits", "mnist-mlp")
    with pytest.raises(StoreError) as caught:
        ExperimentStore(tmp_path, "digit").read_plan()
    text = str(caught.value)
    assert f"no experiment 'digit' in {tmp_path}" in text
    assert "did you mean 'digits'?  known: digits, mnist-mlp" in text
    assert caught.value.exit_code == 4


def test_without_any_experiment_the_remedy_is_to_train(tmp_path):
    with pytest.raises(StoreError, match="none yet: `normbench train` makes one"):
        ExperimentStore(tmp_path / "absent", "x").read_plan()
    assert experiments(tmp_path / "absent") == []


def test_a_file_is_no_folder_of_results(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="--results DIR"):
        ExperimentStore(tmp_path / "file", "x").read_plan()


def test_only_folders_with_a_plan_are_experiments(tmp_path):
    planned(tmp_path, "b", "a")
    (tmp_path / "other").mkdir()
    (tmp_path / "README.md").write_text("")
    assert experiments(tmp_path) == ["a", "b"]


def test_a_plan_of_a_newer_normbench_is_refused(tmp_path):
    planned(tmp_path, "one")
    path = tmp_path / "one" / PLAN
    path.write_text(json.dumps({"schema": SCHEMA + 1, "later": "fields"}))
    with pytest.raises(StoreError) as caught:
        ExperimentStore(tmp_path, "one").read_plan()
    assert "newer normbench" in str(caught.value)
    assert "upgrade" in str(caught.value)
    assert caught.value.exit_code == 4


def damages(content: bytes) -> list[bytes]:
    """Empty, cut short, with a digit changed, without its seal's name, and no plan at all."""
    digit = content.replace(b'"schema": 1', b'"schema": 0')
    return [b"", content[:-9], digit, content.replace(b'"seal"', b'"seam"'), b"[]", b"{}"]


@pytest.mark.parametrize("number", range(6))
def test_a_damaged_plan_is_read_from_its_copy_and_refused_by_name_without(tmp_path, number):
    planned(tmp_path, "one")
    store = ExperimentStore(tmp_path, "one")
    good = store.read_plan()
    path = tmp_path / "one" / PLAN
    damaged = damages(path.read_bytes())[number]
    assert damaged != path.read_bytes()
    path.write_bytes(damaged)
    plan, fault = store.plan_and_fault()
    assert f"{PLAN} is damaged" in fault
    assert plan == good
    (tmp_path / "one" / COPY).write_bytes(damages(path.read_bytes())[0])
    assert store.known_plan() is None
    with pytest.raises(Damaged, match=rf"{PLAN} is damaged.*\n.*`normbench train`"):
        store.read_plan()


def without_seal(path: Path) -> None:
    plan = json.loads(path.read_text())
    del plan["seal"]
    plan["config"]["target"] = {"val_accuracy": [0.5]}
    path.write_text(json.dumps(plan))


def test_a_plan_without_a_seal_is_believed_only_where_nothing_was_ever_sealed(tmp_path):
    planned(tmp_path, "one")
    store = ExperimentStore(tmp_path, "one")
    good = store.read_plan()
    without_seal(tmp_path / "one" / PLAN)
    plan, fault = store.plan_and_fault()
    assert plan == good
    assert f"{PLAN} is damaged (its seal is not what was written)" in fault
    without_seal(tmp_path / "one" / COPY)
    assert store.known_plan() is None
    (tmp_path / "one" / COPY).unlink()
    assert store.plan_and_fault()[1] == ""  # as an earlier normbench wrote it
    assert store.copy_fault() == ""
    (tmp_path / "one" / "batch-s0-0123").mkdir()
    (tmp_path / "one" / "batch-s0-0123" / "DONE").write_text("")
    assert store.plan_and_fault()[1] == ""
    (tmp_path / "one" / "batch-s0-0123" / "DONE").write_text("{}\n")
    assert store.known_plan() is None


def test_what_was_set_aside_is_no_run_and_nothing_of_it_is_lost(tmp_path):
    planned(tmp_path, "one")
    store = ExperimentStore(tmp_path, "one")
    for _ in range(2):
        (store.path / "run").mkdir()
        (store.path / "run" / "manifest.json").write_text("mine")
        store.set_aside("run")
    assert store.folders() == []
    kept = sorted(store.path.glob(".set-aside/*/manifest.json"))
    assert [path.parent.name for path in kept] == ["run.1", "run.2"]


def test_a_slash_at_the_end_is_no_part_of_a_name(tmp_path):
    planned(tmp_path, "one")
    store = ExperimentStore(tmp_path, "one/")
    assert (store.name, store.path) == ("one", tmp_path / "one")


@pytest.mark.parametrize("name", ["", ".", "..", "../one", "inside/one", "./one", "/"])
def test_only_a_folder_of_the_results_is_an_experiment(tmp_path, name):
    planned(tmp_path, "one", "results")
    planned(tmp_path / "results", "known")
    planned(tmp_path / "results" / "inside", "one")
    (tmp_path / PLAN).write_text((tmp_path / "one" / PLAN).read_text())
    store = ExperimentStore(tmp_path / "results", name)
    for read in (store.read_plan, lambda: store.find("a")):
        with pytest.raises(StoreError, match=r"no experiment .*\n.*known: known"):
            read()


# --- removing ---


@pytest.mark.parametrize("reached", range(3))
def test_a_removal_that_is_cut_off_leaves_no_run_and_can_be_done_again(
    tmp_path, monkeypatch, reached
):
    planned(tmp_path, "one")
    store = ExperimentStore(tmp_path, "one")
    for name in ("a", "b", "charts"):
        (store.path / name).mkdir()
        (store.path / name / "x.png").write_text("")
    for name in ("a", "b"):
        for file in ("DONE", "checkpoint.pt", "manifest.json", "metrics.jsonl"):
            (store.path / name / file).write_text("{}")
    calls = 0

    def cut(path: str | Path, rmtree=shutil.rmtree) -> None:
        nonlocal calls
        if calls == reached:
            raise KeyboardInterrupt
        calls += 1
        rmtree(path)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", cut)
        with pytest.raises(KeyboardInterrupt):
            store.remove()
    assert store.folders() == ["b"][reached:]
    assert experiments(tmp_path) == ["one"]
    store.remove()
    assert not store.path.exists()


# --- the lock ---


def test_an_experiment_belongs_to_one_process_at_a_time(tmp_path):
    first, second = ExperimentStore(tmp_path, "one"), ExperimentStore(tmp_path, "one")
    first.lock()
    told = rf"in use by another normbench process: process {os.getpid()} on .+, since \d{{4}}-"
    with pytest.raises(StoreError, match=told) as caught:
        second.lock()
    assert caught.value.exit_code == 4
    ExperimentStore(tmp_path, "other").lock()
    first.unlock()
    second.lock()


def test_who_looks_at_the_lock_neither_takes_it_for_long_nor_makes_it(tmp_path):
    first, second = ExperimentStore(tmp_path, "one"), ExperimentStore(tmp_path, "one")
    assert not first.in_use()
    assert not first.path.exists()
    first.lock()
    assert second.in_use()
    first.unlock()
    assert not second.in_use()


def test_who_begins_waits_for_someone_who_only_looks(tmp_path):
    taken = threading.Event()

    def look() -> None:
        other = ExperimentStore(tmp_path, "one")
        other.lock()
        taken.set()
        time.sleep(LOCK_SECONDS / 4)
        other.unlock()

    threading.Thread(target=look).start()
    assert taken.wait(10)
    ExperimentStore(tmp_path, "one").lock()


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from normbench.store import ExperimentStore;"
        "store = ExperimentStore(Path(sys.argv[1]), 'one'); store.lock();"
        "print('locked', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "locked\n"
            with pytest.raises(StoreError, match="in use"):
                ExperimentStore(tmp_path, "one").lock()
        finally:
            holder.send_signal(signal.SIGKILL)
    ExperimentStore(tmp_path, "one").lock()


@pytest.mark.parametrize("results", ["file", "/proc/nowhere"])
def test_a_place_that_cannot_be_written_is_named(tmp_path, results):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write to") as caught:
        ExperimentStore(tmp_path / results, "one").lock()
    assert "--results DIR" in str(caught.value)


def test_who_locks_clears_what_a_killed_process_left_half_written(tmp_path):
    store = ExperimentStore(tmp_path, "tiny")
    (store.path / "a-s0-1").mkdir(parents=True)
    left = [store.path / ".experiment.json.ab12.tmp", store.path / "a-s0-1" / ".DONE.ab12.tmp"]
    kept = [store.path / "a-s0-1" / "metrics.jsonl", store.path / "notes.tmp"]
    for path in (*left, *kept):
        path.write_text("half")
    store.lock()
    store.unlock()
    assert [path for path in (*left, *kept) if path.exists()] == kept
