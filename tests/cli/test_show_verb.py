"""normbench show of a run: what is known of it, whatever became of it."""

from __future__ import annotations

import io
import json

import pytest
from scripted import finishes, play, started
from tiny import experiment

from normbench.report.run import as_dict, page
from normbench.report.tables import console
from normbench.store import find_run
from normbench.store.record import read_record
from normbench.training import events


def test_a_finished_run_shows_config_events_curve_timings_and_environment(cli, results):
    done = cli("show", "tiny/batch-s0")
    assert (done.code, done.err) == (0, "")
    for part in (
        "finished",
        "model: {kind: mlp",
        "keys as in the experiment's config",
        "started, for 12 steps",
        "last checkpoint at step 12",
        "test accuracy 50.0% after step 12",
        "train 12 ms (1 ms a step)",
        "device cpu, 1 thread",
        "torch 2.",
        "val accuracy  ▂▄▆  70.0%",
    ):
        assert part in done.out
    rows = [line.split() for line in done.out.splitlines()]
    assert ["5", "1.25", "40.0", "1", "1", "5", "ms"] in rows


@pytest.mark.parametrize(
    ("run", "told"),
    [
        ("tiny/none-s1", "diverged at step 3"),
        ("tiny/layer-s0", "interrupted after 4 steps"),
        ("tiny/rms-s0", "failed: it broke"),
        ("tiny/rms-s0", "Traceback ..."),
    ],
)
def test_what_became_of_a_run_is_told(results, run, told, capsys):
    for part in page(read_record(*find_run(results, run)), 80):
        console().print(part)
    assert told in capsys.readouterr().out


def test_a_run_that_failed_before_any_evaluation_shows_its_traceback(cli, tmp_path, digits):
    told = [started(), events.Failed("no memory", "Traceback (of the run)")]
    play(tmp_path / "results", experiment("norms=[none]", "seeds=1"), digits, lambda _: told)
    parts = page(read_record(*find_run(tmp_path / "results", "none-s0")), 80)
    out = console(file=io.StringIO())
    for part in parts:
        out.print(part)
    for text in ("no evaluation yet", "failed: no memory", "Traceback (of the run)"):
        assert text in out.file.getvalue()


def test_a_divergence_is_told_once(cli, results):
    events = json.loads(cli("show", "tiny/none-s0", "--json").out)["events"]
    assert [event for event in events if event["event"] == "diverged"] == [
        {"event": "diverged", "step": 3}
    ]
    assert events[-1]["event"] == "diverged"


def test_what_differs_from_the_experiment_is_named(cli, tmp_path, digits):
    swept = experiment("norms=[batch]", "seeds=1", "sweep={optimizer.lr: [0.01, 0.3]}")
    play(tmp_path / "results", swept, digits, lambda _: finishes({12: 0.5}))
    done = cli("show", "tiny/batch-0.3-s0")
    assert "differs from the experiment's config in optimizer.lr 0.3 (there 0.1)" in done.out
    found = json.loads(cli("show", "tiny/batch-0.3-s0", "--json").out)
    assert found["differs"] == {"optimizer.lr": {"run": 0.3, "experiment": 0.1}}


def test_json_holds_every_evaluation_and_the_traceback(cli, results):
    found = json.loads(cli("show", "tiny/batch-s1", "--json").out)
    assert [row["step"] for row in found["evaluations"]] == [0, 5, 12]
    assert found["test"]["test_accuracy"] == 0.5
    assert found["config"]["optimizer"]["lr"] == 0.1
    assert found["environment"]["threads"] == 1
    events = as_dict(read_record(*find_run(results, "tiny/rms-s0")))["events"]
    assert events[-1] == {"event": "failed", "reason": "it broke", "details": "Traceback ..."}


def test_a_run_is_found_by_path_name_or_beginning(cli, results):
    (folder,) = results.glob("tiny/batch-s0-*")
    shown = {cli("show", name).out for name in (folder, folder.name, "batch-s0", "tiny/batch-s0")}
    assert len(shown) == 1


@pytest.mark.parametrize(
    ("name", "code", "told"),
    [
        ("tiny/bacth-s0", 4, "did you mean 'batch-s"),
        ("tiny/batch", 4, "could be any of 2 runs"),
        ("tinny/batch-s0", 4, "did you mean 'tiny'"),
        ("bacth-s0", 4, "`normbench list runs` lists them"),
        ("digit", 2, "did you mean 'digits'"),
        ("nowhere.yaml", 2, "no such config"),
        ("", 4, "no run ''"),
    ],
)
def test_a_name_that_means_nothing_is_told_with_the_nearest(cli, results, name, code, told):
    done = cli("show", name)
    assert (done.code, done.out) == (code, "")
    assert told in done.err


def test_set_goes_with_a_config_only(cli, results):
    assert cli("show", "tiny/batch-s0", "--set", "seeds=1").code == 2


@pytest.mark.parametrize(("name", "content"), [("config.yaml", "{"), ("manifest.json", "{}")])
def test_a_damaged_run_is_told_without_a_traceback(cli, results, name, content):
    (folder,) = results.glob("tiny/batch-s0-*")
    (folder / name).write_text(content)
    done = cli("show", "tiny/batch-s0")
    assert done.code == 4
    assert f"{name} is damaged" in done.err
