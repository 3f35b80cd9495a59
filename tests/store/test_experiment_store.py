"""One experiment's folder: its plan, its lock, and who may read it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from normbench.errors import StoreError
from normbench.store import SCHEMA, ExperimentStore
from normbench.store.experiment import PLAN, experiments


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


def test_a_damaged_plan_is_refused_by_name(tmp_path):
    planned(tmp_path, "one")
    (tmp_path / "one" / PLAN).write_text('{"schema": 1, ')
    with pytest.raises(StoreError, match=rf"{PLAN} is damaged"):
        ExperimentStore(tmp_path, "one").read_plan()


# --- the lock ---


def test_an_experiment_belongs_to_one_process_at_a_time(tmp_path):
    first, second = ExperimentStore(tmp_path, "one"), ExperimentStore(tmp_path, "one")
    first.lock()
    with pytest.raises(StoreError, match="in use by another normbench process") as caught:
        second.lock()
    assert caught.value.exit_code == 4
    ExperimentStore(tmp_path, "other").lock()
    first.unlock()
    second.lock()


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
