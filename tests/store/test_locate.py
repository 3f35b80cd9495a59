"""Which results folder and which experiment a text means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from normbench.errors import StoreError
from normbench.store import ExperimentStore, find_run, latest, locate, results_folder


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    """``results/`` with the experiments one and two, of one run each, below the current folder."""
    monkeypatch.chdir(tmp_path)
    for age, name in enumerate(("one", "two")):
        store = ExperimentStore(Path("results"), name)
        (store.path / "batch-s0-00000000").mkdir(parents=True)
        store.write_plan({"name": name}, [])
        manifest = store.path / "batch-s0-00000000" / "manifest.json"
        manifest.write_text('{"schema": 1, "state": "finished"}')
        for path in (store.path / "experiment.json", manifest):
            os.utime(path, (1000 - age, 1000 - age))
    return Path("results")


def test_results_are_looked_for_upward(results, tmp_path, monkeypatch):
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert results_folder("results") == Path("../../results")
    assert locate("results", "one").path.resolve() == tmp_path / "results" / "one"
    assert latest("results").name == "one"
    assert find_run("results", "two/batch")[1] == "batch-s0-00000000"


def test_a_folder_that_is_here_or_was_named_is_not_looked_for(results, tmp_path, monkeypatch):
    below = tmp_path / "below"
    (below / "results").mkdir(parents=True)
    monkeypatch.chdir(below)
    assert results_folder("results") == Path("results")
    assert results_folder("other") == Path("other")


def test_a_folder_of_that_name_without_an_experiment_is_passed_over(results, tmp_path, monkeypatch):
    (tmp_path / "a" / "results").mkdir(parents=True)
    (tmp_path / "a" / "b").mkdir()
    monkeypatch.chdir(tmp_path / "a" / "b")
    assert results_folder("results") == Path("../../results")


@pytest.mark.parametrize("text", ["one", "one/", "results/one", "results/one/", "./results/one"])
def test_a_name_and_a_folder_mean_the_same(results, tmp_path, text):
    assert locate(results, text).path.resolve() == tmp_path / "results" / "one"
    assert locate(results, str(tmp_path / "results" / "one")).name == "one"


def test_a_name_below_the_results_goes_before_a_folder_here(results, tmp_path):
    here = ExperimentStore(tmp_path, "one")
    here.path.mkdir()
    here.write_plan({"name": "one"}, [])
    assert locate(results, "one").path == results / "one"


def test_a_run_is_found_below_the_folder_of_its_experiment(results, tmp_path):
    for text in ("one/batch", "results/one/batch", f"{tmp_path}/results/one/batch"):
        store, run = find_run(results, text)
        assert (store.name, run) == ("one", "batch-s0-00000000")


@pytest.mark.parametrize("text", ["three", "elsewhere/three"])
def test_the_absolute_place_that_was_searched_is_named(results, tmp_path, text):
    place = tmp_path / ("results" if text == "three" else "elsewhere")
    with pytest.raises(StoreError) as caught:
        locate(results, text).read_plan()
    assert f"no experiment 'three' in {place}\n" in str(caught.value)


@pytest.mark.parametrize("text", ["", ".", "..", "/", "../one"])
def test_what_is_no_experiment_is_refused(results, text):
    with pytest.raises(StoreError, match="no experiment"):
        locate(results, text).read_plan()


def test_the_latest_is_the_one_whose_runs_last_wrote(results):
    assert latest(results).name == "one"
    os.utime(results / "two" / "batch-s0-00000000" / "manifest.json", (2000, 2000))
    assert latest(results).name == "two"
    (results / "one" / "report.html").write_text("")  # a report is no training
    assert latest(results).name == "two"
    assert latest("elsewhere") is None


def test_an_experiment_of_which_the_copy_alone_is_left_can_be_the_latest(tmp_path):
    store = ExperimentStore(tmp_path, "one")
    store.path.mkdir()
    store.write_plan({"name": "one"}, [])
    (store.path / "experiment.json").unlink()
    last = latest(tmp_path)
    assert last is not None
    assert last.name == "one"
