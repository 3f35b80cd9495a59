"""normbench list runs: filtered by experiment, norm and state."""

from __future__ import annotations

import json
import os
import shutil

import pytest
from scripted import diverges, evaluated, finishes, play, started
from tiny import experiment

from normbench.plan import best_runs, expand, reuse_folders
from normbench.store import ExperimentStore


def listed(done) -> list[str]:
    assert done.code == 0, done.err
    return [run["run"].rsplit("-", 1)[0] for run in json.loads(done.out)["runs"]]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--state", "diverged"), ["none-s0", "none-s1"]),
        (("--state", "failed", "--norm", "none"), []),
        (("--norm", "batch", "--norm", "rms", "--state", "failed"), ["rms-s0", "rms-s1"]),
        (("--state", "unfinished"), ["layer-s0", "layer-s1"]),
        (("tiny", "--state", "missing"), ["layer-s1"]),
    ],
)
def test_runs_are_filtered(cli, results, options, expected):
    assert listed(cli("list", "runs", *options, "--json")) == expected


def test_json_holds_numbers_and_a_diverged_run_shows_chance(cli, results):
    rows = json.loads(cli("list", "runs", "--json").out)["runs"]
    shown = {(row["norm"], row["seed"]): row for row in rows}
    (name,) = [path.name for path in results.glob("tiny/batch-s0-*")]
    changed = (results / "tiny" / name / "manifest.json").stat().st_mtime
    assert shown["batch", 0] == {
        "experiment": "tiny",
        "run": name,
        "norm": "batch",
        "tuned": None,
        "changed": changed,
        "seed": 0,
        "role": "report",
        "state": "finished",
        "val_accuracy": 0.7,
    }
    assert shown["none", 0]["val_accuracy"] == 0.1
    assert shown["layer", 1]["val_accuracy"] is shown["layer", 1]["changed"] is None
    assert "70.0" in cli("list", "runs").out


def test_a_diverged_runs_last_accuracy_counts_for_nothing(cli, tmp_path, digits):
    begun, *middle, end = diverges(3, 5)
    told = [begun, evaluated(0, 0.9), *(e for e in middle if type(e) is not type(evaluated(0, 0)))]
    play(tmp_path / "results", experiment("norms=[none]"), digits, lambda _: [*told, end])
    rows = json.loads(cli("list", "runs", "--json").out)["runs"]
    assert [row["val_accuracy"] for row in rows] == [0.1, 0.1]


def test_a_run_with_two_roles_is_listed_once(cli, tmp_path, digits):
    wanted = experiment("norms=[none]", "seeds=1", "tune={optimizer.lr: [0.1, 0.2], seeds: 3}")
    play(tmp_path / "results", wanted, digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    store = ExperimentStore(tmp_path / "results", "tiny")
    best = best_runs(wanted, {("none", ()): 0.1})  # what the config says already
    plan = reuse_folders([*expand(wanted), *best], store.folders())
    store.write_plan(wanted.resolved(), [run.record() for run in plan])
    rows = json.loads(cli("list", "runs", "--json").out)["runs"]
    assert [row["role"] for row in rows] == [*["tune"] * 6, "report+best"]


def test_a_kind_of_norm_chooses_all_its_variants(cli, tmp_path, digits):
    wanted = experiment("norms=[none, {kind: group, groups: 8}, {kind: group, groups: 4}]")
    play(tmp_path / "results", wanted, digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    for norm, count in (("group", 4), ("group(groups=4)", 2), ("none", 2)):
        rows = json.loads(cli("list", "runs", "--norm", norm, "--json").out)["runs"]
        assert len(rows) == count


def test_one_damaged_experiment_hides_no_other(cli, results, digits):
    play(results, experiment("name=broken"), digits, lambda _: None)
    for path in (results / "broken").glob("experiment*.json"):
        path.write_text("{")
    for options in ((), ("--json",)):
        done = cli("list", "runs", "--all", *options)
        assert done.code == 4
        assert "batch-s0" in done.out
        assert "broken/experiment.json is damaged" in done.err
    assert cli("list", "runs", "tiny").code == 0


def test_a_run_that_is_a_loop_of_links_is_listed_as_damaged(cli, tmp_path, digits):
    play(tmp_path / "results", experiment(), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    folder = next((tmp_path / "results" / "tiny").glob("*/DONE")).parent
    shutil.rmtree(folder)
    folder.symlink_to(folder.name)
    done = cli("list", "runs", "tiny", "--json")
    states = {row["run"]: row["state"] for row in json.loads(done.out)["runs"]}
    assert states[folder.name] == "damaged"


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--state", "finishd"), 2, "did you mean 'finished'"),
        (("--norm", "btach"), 2, "did you mean 'batch'"),
        (("tinny",), 4, "did you mean 'tiny'"),
    ],
)
def test_a_wrong_filter_is_told_with_the_nearest(cli, results, options, code, told):
    done = cli("list", "runs", *options)
    assert (done.code, done.out) == (code, "")
    assert told in done.err


def test_filters_go_with_runs_only(cli):
    assert cli("list", "norms", "--state", "failed").code == 2


def test_nothing_left_is_said(cli, results):
    done = cli("list", "runs", "--norm", "none", "--state", "failed")
    assert (done.code, done.out) == (0, "")
    assert "no runs of that norm and state" in done.err


# --- columns ---


def heading(done) -> list[str]:
    return done.out.splitlines()[2].split()


def test_only_what_differs_between_the_runs_has_a_column(cli, tmp_path, digits, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    ends = finishes({0: 0.1, 12: 0.7})
    play(tmp_path / "results", experiment("seeds=1"), digits, lambda _: ends)
    found = heading(cli("list", "runs"))
    assert found == ["run", "norm", "state", "age", "val", "%"]
    swept = experiment("name=swept", "norms=[none]", "sweep={model.depth: [2, 3]}")
    play(tmp_path / "results", swept, digits, lambda _: ends)
    found = heading(cli("list", "runs", "swept"))
    assert found == ["run", "depth", "seed", "state", "age", "val", "%"]
    assert "experiment" in heading(cli("list", "runs", "--all"))


def test_a_run_whose_process_died_is_listed_as_interrupted(cli, tmp_path, digits):
    begun = [started(), evaluated(0, 0.1)]
    play(tmp_path / "results", experiment(), digits, lambda _: begun)
    assert len(listed(cli("list", "runs", "--state", "interrupted", "--json"))) == 4


# --- experiments ---


def test_experiments_are_listed_with_what_they_hold(cli, tmp_path, digits):
    place = tmp_path / "results"
    play(place, experiment("name=old"), digits, lambda _: None)

    def script(run):
        return finishes({0: 0.1, 12: 0.9 if run.norm == "batch" else 0.2})

    play(place, experiment("optimizer.lr=0.2", "norms=[batch]"), digits, script)
    play(place, experiment(), digits, script)
    for path in place.glob("old/*.json"):
        os.utime(path, (1000, 1000))
    done = cli("list", "experiments", "--json")
    assert (done.code, done.err) == (0, "")
    first, second = json.loads(done.out)["experiments"]
    assert (first["name"], first["norms"]) == ("tiny", ["none", "batch"])
    assert (first["runs"], first["done"], first["stale"]) == (4, 4, 2)
    assert first["leader"] == "batch"
    assert 0 <= first["age_seconds"] < 3600
    assert first["bytes"] == sum(
        path.stat().st_size for path in (place / "tiny").rglob("*") if path.is_file()
    )
    assert (second["name"], second["runs"], second["done"]) == ("old", 4, 0)
    assert second["leader"] is None
    assert second["changed"] == 1000
    shown = cli("list", "experiments").out
    assert "4/4 +2 stale" in shown
    assert "days" in shown


def test_one_damaged_experiment_hides_no_other_in_the_list(cli, results):
    (results / "broken").mkdir()
    (results / "broken" / "experiment.json").write_text("{")
    done = cli("list", "experiments", "--json")
    assert done.code == 4
    assert [row["name"] for row in json.loads(done.out)["experiments"]] == ["tiny"]
    assert "broken/experiment.json is damaged" in done.err


def test_without_experiments_the_absolute_place_is_told(cli, tmp_path):
    done = cli("list", "experiments")
    assert (done.code, done.out) == (0, "")
    assert f"no experiments in {tmp_path / 'results'}" in done.err
