"""normbench train --dry-run with more rows than anyone reads."""

from __future__ import annotations

import json

from scripted import finishes, play
from tiny import experiment


def test_a_long_plan_is_cut_short_in_the_table_and_whole_as_json(cli, config, monkeypatch):
    monkeypatch.setattr("normbench.cli.dry_run.SHOWN_ROWS", 3)
    sweep = "--sweep=optimizer.lr=0.1,0.2,0.3"
    shown = cli("train", config, "--dry-run", sweep).out
    assert shown.count("none") + shown.count("batch") == 3
    assert "and 3 rows more, which --json lists" in shown
    assert len(json.loads(cli("train", config, "--dry-run", sweep, "--json").out)["runs"]) == 6


def test_when_all_is_done_json_is_still_one_object(cli, config, tmp_path, digits):
    play(tmp_path / "results", experiment(), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    done = cli("train", config, "--dry-run", "--json")
    assert "all 4 runs are done" in done.err
    found = json.loads(done.out)
    assert (found["schema"], found["runs"], found["elapsed_seconds"]) == (1, [], 0)


def test_a_run_that_would_crash_is_a_sentence_with_its_place(cli, config, monkeypatch):
    def broken(self):
        raise RuntimeError("shapes do\nnot fit")

    monkeypatch.setattr("normbench.execution.estimate.Run.update", broken)
    done = cli("train", config, "--dry-run")
    assert (done.code, done.out) == (1, "")
    for norm in ("none", "batch"):
        line = f"a run of {norm} would fail: RuntimeError: shapes do not fit ({__file__}:"
        assert line in done.err


def test_what_was_not_timed_says_so_and_is_null_as_json(cli, config, monkeypatch):
    nothing = (float("nan"), float("nan"))
    monkeypatch.setattr("normbench.execution.estimate._time", lambda run: nothing)
    shown = cli("train", config, "--dry-run").out
    assert "not timed" in shown
    assert "nan" not in shown
    assert "µs" not in shown
    found = json.loads(cli("train", config, "--dry-run", "--json").out)
    assert found["elapsed_seconds"] is None
    assert {run["seconds"] for run in found["runs"]} == {None}


def test_images_made_other_than_the_files_are_noted(cli, config, monkeypatch):
    monkeypatch.setattr("normbench.data.catalog.Source.altered", lambda _: "they are made small")
    assert "note: they are made small\n" in cli("train", config, "--dry-run").err
