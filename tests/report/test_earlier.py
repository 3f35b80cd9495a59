"""A changed config under the same name says what becomes of the earlier runs."""

from __future__ import annotations

import pytest
from scripted import finishes, play
from tiny import experiment

from normbench.report.earlier import what_becomes
from normbench.store import ExperimentStore
from normbench.store.earlier import earlier, stale_runs


@pytest.fixture
def store(tmp_path, digits) -> ExperimentStore:
    """tiny: none and batch under two seeds each, all finished."""
    play(tmp_path, experiment(), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    return ExperimentStore(tmp_path, "tiny")


def test_another_learning_rate_leaves_all_behind(store):
    text = what_becomes(store, experiment("optimizer.lr=0.2"))
    assert "optimizer.lr 0.1, now 0.2" in text
    assert "of its 4 runs none counts any more (batch and “none”)" in text
    assert "--set name=tiny-2" in text
    assert "normbench rm --stale tiny" in text


def test_another_norm_leaves_only_that_norms_runs_behind(store):
    text = what_becomes(store, experiment("norms=[none, layer]"))
    assert "of its 4 runs 2 still count and 2 no longer do (batch)" in text


@pytest.mark.parametrize(
    "change",
    ["seeds=2", "seeds=5", "seeds=1", "norms=[none, batch, rms]", "target.val_accuracy=0.6"],
)
def test_what_leaves_no_run_behind_says_nothing(store, change):
    assert what_becomes(store, experiment(change)) == ""


def test_a_new_name_has_no_earlier_runs(store):
    assert what_becomes(ExperimentStore(store.results, "new"), experiment("name=new")) == ""


def test_it_is_told_once_when_it_happens_and_the_runs_stay_stale(store, digits):
    changed = experiment("optimizer.lr=0.2")
    before = set(store.folders())
    play(store.results, changed, digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    assert what_becomes(store, changed) == ""
    assert what_becomes(store, experiment("optimizer.lr=0.2", "seeds=3")) == ""
    assert set(stale_runs(store)) == before
    assert stale_runs(store) != store.folders()


def test_going_back_finds_the_first_runs_again(store, digits):
    first = set(store.folders())
    changed = experiment("optimizer.lr=0.2")
    play(store.results, changed, digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    text = what_becomes(store, experiment())
    assert "of its 8 runs 4 still count and 4 no longer do" in text
    plan = store.read_plan()["runs"]
    assert set(earlier(store, plan).stale) == first


def test_a_run_under_a_seed_that_is_not_asked_for_belongs(store, digits):
    play(store.results, experiment("seeds=1"), digits, lambda _: None)
    assert stale_runs(store) == []
