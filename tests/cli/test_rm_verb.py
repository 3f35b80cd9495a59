"""normbench rm deletes what it was told to, after asking, and nothing else."""

from __future__ import annotations

import io
import json
import shutil
import sys

import pytest
from scripted import finishes, play
from tiny import experiment

from normbench.store import ExperimentStore


@pytest.fixture
def answer(monkeypatch):
    """Gives these lines to whoever asks on the terminal."""

    def give(text: str) -> None:
        terminal = io.StringIO(text)
        terminal.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", terminal)

    return give


def test_an_experiment_goes_with_everything_in_it(cli, results):
    (results / "other").mkdir()
    done = cli("rm", "tiny", "--yes")
    assert (done.code, done.out) == (0, "")
    assert "all of results/tiny: 7 runs," in done.err
    assert [path.name for path in results.iterdir()] == ["other"]


def test_runs_go_alone_and_count_as_not_run(cli, results):
    done = cli("rm", "tiny", "batch-s0", "none-s1", "--yes", "--json")
    found = json.loads(done.out)
    assert [run.rsplit("-", 1)[0] for run in found["removed"]] == ["batch-s0", "none-s1"]
    assert found["bytes"] > 0
    assert not list(results.glob("tiny/batch-s0-*"))
    assert list(results.glob("tiny/batch-s1-*"))
    assert '"missing"' in cli("list", "runs", "--state", "missing", "--json").out


def test_json_names_all_runs_of_an_experiment_and_none_when_nothing_was_deleted(
    cli, results, answer
):
    answer("n\n")
    kept = cli("rm", "tiny/", "--json")
    assert json.loads(kept.out) == {
        "schema": 1,
        "experiment": "tiny",
        "removed": [],
        "bytes": 0,
    }
    assert "nothing was deleted" in kept.err
    runs = sorted(path.parent.name for path in results.glob("tiny/*/manifest.json"))
    gone = json.loads(cli("rm", "tiny", "--yes", "--json").out)
    assert gone["removed"] == runs
    assert gone["bytes"] > 0


@pytest.mark.parametrize(("text", "left"), [("y\n", False), ("n\n", True), ("\n", True)])
def test_it_asks_and_does_as_it_is_told(cli, results, answer, text, left):
    answer(text)
    done = cli("rm", "tiny")
    assert done.code == 0
    assert "delete? [y/N]" in done.err
    assert (results / "tiny").exists() is left
    assert ("nothing was deleted" in done.err) is left


def test_without_a_terminal_and_without_yes_nothing_is_deleted(cli, results, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    done = cli("rm", "tiny")
    assert done.code == 2
    assert "--yes" in done.err
    assert (results / "tiny" / "experiment.json").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("tinny",), "did you mean 'tiny'"),
        (("tiny", "bacth-s0"), "did you mean 'batch-s"),
        (("tiny", "batch"), "could be any of 2 runs"),
        (("tiny", "../other"), "no run '../other'"),
        (("..",), "no experiment"),
        ((".",), "no experiment"),
        (("",), "no experiment"),
        (("/",), "no experiment"),
        (("../results/tiny",), "no experiment"),
        (("other",), "no experiment"),
    ],
)
def test_what_is_not_there_or_elsewhere_is_refused(cli, results, arguments, told):
    (results / "other").mkdir()
    before = sorted(results.rglob("*"))
    done = cli("rm", *arguments, "--yes")
    assert (done.code, done.out) == (4, "")
    assert told in done.err
    assert sorted(results.rglob("*")) == before


@pytest.mark.parametrize("part", ["tiny", "tiny/batch-s9-00000000"])
def test_links_that_lead_out_of_the_results_are_refused(cli, results, tmp_path, part):
    elsewhere = tmp_path / "elsewhere"
    if part == "tiny":
        shutil.move(results / "tiny", elsewhere)
    else:
        elsewhere.mkdir()
        (elsewhere / "manifest.json").write_text("{}")
    (results / part).symlink_to(elsewhere)
    before = sorted(elsewhere.rglob("*"))
    for arguments in (("tiny",), ("tiny", part.rpartition("/")[2])):
        done = cli("rm", *arguments, "--yes")
        assert done.code == 4
        assert "is a link to" in done.err
    assert sorted(elsewhere.rglob("*")) == before


def test_an_experiment_in_use_is_left_alone(cli, results):
    other = ExperimentStore(results, "tiny")
    other.lock()
    try:
        done = cli("rm", "tiny", "--yes")
    finally:
        other.unlock()
    assert done.code == 4
    assert "in use by another normbench process" in done.err
    assert list(results.glob("tiny/batch-s0-*"))


# --- runs of an earlier config ---


@pytest.fixture
def changed(tmp_path, digits):
    """4 runs of tiny, then 4 at another learning rate; the folders of the first."""
    place = tmp_path / "results"
    play(place, experiment(), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    first = ExperimentStore(place, "tiny").folders()
    play(place, experiment("optimizer.lr=0.2"), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    return first


def test_stale_runs_go_and_the_others_stay(cli, changed, tmp_path):
    store = ExperimentStore(tmp_path / "results", "tiny")
    before = store.folders()
    done = cli("rm", "--stale", "tiny", "--yes", "--json")
    assert done.code == 0, done.err
    assert json.loads(done.out)["removed"] == changed
    assert "4 runs," in done.err
    assert store.folders() == sorted(set(before) - set(changed))
    again = cli("rm", "--stale", "tiny")
    assert again.code == 0
    assert "every run belongs" in again.err


def test_stale_runs_go_only_after_asking(cli, changed, tmp_path, answer):
    answer("n\n")
    done = cli("rm", "--stale", "tiny")
    assert "delete? [y/N]" in done.err
    assert len(ExperimentStore(tmp_path / "results", "tiny").folders()) == 8


def test_stale_and_named_runs_are_not_mixed(cli, changed):
    assert cli("rm", "--stale", "tiny", changed[0], "--yes").code == 2


def test_an_experiment_is_removed_by_its_folder(cli, results):
    assert cli("rm", results / "tiny", "--results", "nowhere", "--yes").code == 0
    assert not (results / "tiny").exists()


# --- starting over ---


def test_starting_over_counts_and_needs_a_yes_without_a_terminal(
    cli, config, changed, tmp_path, monkeypatch
):
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    done = cli("train", config, "--fresh", "-q")
    assert done.code == 2
    assert "--fresh deletes 8 runs of results/tiny," in done.err
    assert "--yes" in done.err
    assert len(ExperimentStore(tmp_path / "results", "tiny").folders()) == 8


def test_starting_over_asks_and_a_no_leaves_all_as_it_is(cli, config, changed, tmp_path, answer):
    answer("n\n")
    done = cli("train", config, "--fresh", "-q")
    assert done.code == 130
    assert "nothing was deleted, nothing trained" in done.err
    assert len(ExperimentStore(tmp_path / "results", "tiny").folders()) == 8


def test_the_dry_run_tells_what_no_longer_counts(cli, config, changed):
    done = cli("train", config, "--dry-run", "--set", "optimizer.lr=0.3", "--json")
    assert done.code == 0, done.err
    assert "of its 8 runs none counts any more" in done.err
    assert json.loads(done.out)["schema"] == 1
