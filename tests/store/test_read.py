"""Reading an experiment back: nothing that was planned, or was trained, goes missing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scripted import change_plan, diverges, evaluated, fails, finishes, play, probed, started, stops
from tiny import experiment

from normbench.errors import StoreError
from normbench.plan import PlannedRun, best_runs, expand, reuse_folders
from normbench.results.experiment import ExperimentResult
from normbench.store import SCHEMA, ExperimentStore, Results, read_results
from normbench.store.read import read_probes
from normbench.store.record import read_record
from normbench.training import events

CURVE = {0: 0.1, 5: 0.4, 10: 0.6, 12: 0.7}


def of(results: Results, norm: str, seed: int) -> dict:
    runs = results.runs
    (row,) = runs[(runs["norm"] == norm) & (runs["seed"] == seed)].to_dict("records")
    return row


def folder(root: Path, norm: str, seed: int, *overrides: str) -> Path:
    (run,) = [
        r
        for r in expand(experiment(*overrides))
        if (r.norm, r.seed, r.role) == (norm, seed, "report")
    ]
    return root / "tiny" / run.folder


@pytest.fixture
def mixed(tmp_path, digits) -> Path:
    """Every state there is, over four norms and one seed, and one run that never started."""

    def script(run: PlannedRun):
        return {
            "none": diverges(3, 5),
            "batch": finishes(CURVE, probes=[probed(0), probed(3), probed(11)]),
            "layer": fails(),
            "rms": stops(4),
            "group": None,
        }[run.norm]

    play(tmp_path, experiment(*MIXED), digits, script)
    return tmp_path


MIXED = ("norms=[none, batch, layer, rms, group]", "seeds=1")


def test_every_planned_run_has_its_row_and_its_state(mixed):
    found = read_results(mixed, "tiny")
    assert dict(zip(found.runs["norm"], found.runs["state"], strict=True)) == {
        "none": "diverged",
        "batch": "finished",
        "layer": "failed",
        "rms": "interrupted",
        "group": "missing",
    }


def test_a_run_that_never_started_has_no_numbers(mixed):
    row = of(read_results(mixed, "tiny"), "group", 0)
    for name in ("val_accuracy", "test_accuracy", "train_seconds", "steps_done", "diverged_at"):
        assert math.isnan(row[name])
    assert pd.isna(row["backbone_sha256"])


def test_a_failed_run_tells_its_reason(mixed):
    found = read_results(mixed, "tiny")
    assert found.reasons == {folder(mixed, "layer", 0, *MIXED).name: "it broke"}


def test_a_run_that_is_being_written_is_running(mixed, digits):
    play(
        mixed,
        experiment(*MIXED),
        digits,
        lambda run: [started(), evaluated(0, 0.1)] if run.norm == "group" else None,
    )
    store = ExperimentStore(mixed, "tiny")
    store.lock()
    try:
        assert of(read_results(mixed, "tiny"), "group", 0)["state"] == "running"
    finally:
        store.unlock()


def test_a_run_whose_process_died_reads_interrupted(mixed, digits):
    play(
        mixed,
        experiment(*MIXED),
        digits,
        lambda run: [started(), evaluated(0, 0.1)] if run.norm == "group" else None,
    )
    row = of(read_results(mixed, "tiny"), "group", 0)
    assert row["state"] == "interrupted"
    store = ExperimentStore(mixed, "tiny")
    assert store.run(row["run"]).read_manifest()["state"] == "running"  # nothing was written
    assert read_record(store, row["run"]).manifest["state"] == "interrupted"


def test_a_finished_run_has_its_last_numbers(mixed):
    row = of(read_results(mixed, "tiny"), "batch", 0)
    assert (row["val_accuracy"], row["test_accuracy"]) == (0.7, 0.5)
    assert (row["steps_planned"], row["steps_done"]) == (12, 12)
    assert (row["batch_size"], row["num_classes"], row["parameters"]) == (32, 10, 1234)
    assert row["train_seconds"] == 0.012
    assert (row["backbone_sha256"], row["batch_order_sha256"]) == ("same", "batches")
    assert row["epochs_started"] == 1


def test_a_diverged_run_says_where(mixed):
    row = of(read_results(mixed, "tiny"), "none", 0)
    assert (row["diverged_at"], row["steps_done"], row["steps_planned"]) == (3, 5, 12)


def test_the_curves_are_the_evaluations(mixed):
    found = read_results(mixed, "tiny")
    own = found.curves[found.curves["run"] == folder(mixed, "batch", 0, *MIXED).name]
    assert own["step"].tolist() == list(CURVE)
    assert own["val_accuracy"].tolist() == list(CURVE.values())
    assert np.isnan(own["train_loss"].to_numpy()[0])
    assert own["train_loss"].tolist()[1:] == [1.0] * 3
    assert own["train_seconds"].tolist() == [step / 1000 for step in CURVE]


def test_no_evaluation_is_later_on_the_clock_than_a_later_one(tmp_path, digits):
    """While every step is probed, their time is all that is known of training."""

    def script(run):
        first, epoch, *rest = finishes({0: 0.1, 5: 0.6, 12: 0.7})
        clock = {0: 0.0, 5: 0.055, 12: 0.022}
        rest = [
            replace(event, train_seconds=clock[event.step])
            if isinstance(event, events.Evaluated)
            else event
            for event in rest
        ]
        return [first, epoch, *rest]

    play(tmp_path, experiment("seeds=1", "norms=[batch, none]"), digits, script)
    curves = read_results(tmp_path, "tiny").curves
    assert curves["train_seconds"].tolist() == [0.0, 0.022, 0.022] * 2


def test_the_probes_are_the_first_and_the_last_and_all_on_request(mixed):
    name = folder(mixed, "batch", 0, *MIXED)
    found = read_results(mixed, "tiny")
    assert found.probes[found.probes["run"] == name.name]["step"].tolist() == [0, 11]
    assert found.probes["activation_gradient"].iloc[0].tolist() == [0.1, 0.2, 0.4]
    assert read_probes(name)["step"].tolist() == [0, 3, 11]
    assert read_results(mixed, "tiny", probes=False).probes.empty


def test_null_reads_as_nan(tmp_path, digits):
    nan = float("nan")
    gradient = probed(0, activation_gradient=[nan, math.inf, 1.0])
    told = [
        started(),
        gradient,
        evaluated(0, 0.1, nan),
        events.Diverged(0),
        events.Finished(5, 0.1, 0, 0),
    ]
    play(tmp_path, experiment("norms=[none]", "seeds=1"), digits, lambda _: told)
    text = "".join(path.read_text() for path in tmp_path.glob("*/*/*.json*"))
    assert "NaN" not in text
    assert "Infinity" not in text
    found = read_results(tmp_path, "tiny")
    assert np.isnan(found.probes["activation_gradient"].iloc[0][:2]).all()
    assert np.isnan(found.curves["val_loss"].iloc[0])


def test_long_probe_lines_are_found_at_both_ends(tmp_path, digits):
    wide = [float(i) + 0.123456789 for i in range(9000)]  # longer than the part that is read
    probes = [probed(step, activation_gradient=wide) for step in (0, 1, 2)]
    play(
        tmp_path,
        experiment("norms=[none]", "seeds=1"),
        digits,
        lambda _: finishes(CURVE, probes=probes),
    )
    found = read_results(tmp_path, "tiny")
    assert found.probes["step"].tolist() == [0, 2]
    assert found.probes["activation_gradient"].iloc[1].tolist() == wide


@pytest.mark.parametrize("journal", ["metrics", "probes"])
def test_journals_of_a_run_that_goes_on_are_read_up_to_their_last_whole_line(mixed, journal):
    path = folder(mixed, "layer", 0, *MIXED) / f"{journal}.jsonl"  # it failed: it has no seal
    path.write_bytes(path.read_bytes() + b'{"event": "pro')
    found = read_results(mixed, "tiny")
    assert of(found, "layer", 0)["state"] == "failed"
    assert of(found, "layer", 0)["val_accuracy"] == 0.1


@pytest.mark.parametrize("journal", ["metrics", "probes"])
def test_an_empty_or_absent_journal_of_a_run_that_goes_on_is_no_evidence(mixed, journal):
    path = folder(mixed, "layer", 0, *MIXED) / f"{journal}.jsonl"
    path.write_bytes(b'{"event": "pro')
    assert len(read_results(mixed, "tiny").runs) == 5
    path.unlink()
    assert len(read_results(mixed, "tiny").runs) == 5


def test_a_run_of_a_newer_normbench_is_refused(mixed):
    path = folder(mixed, "batch", 0, *MIXED) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": SCHEMA + 1}))
    with pytest.raises(StoreError, match="newer normbench") as caught:
        read_results(mixed, "tiny")
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("key", ["method", "context", "tuned"])
def test_a_plan_of_an_older_normbench_is_told_with_the_remedy(mixed, key):
    change_plan(mixed / "tiny", lambda plan: [entry.pop(key) for entry in plan["runs"]])
    with pytest.raises(StoreError, match=r"an older normbench, or is damaged\n.*writes it anew"):
        read_results(mixed, "tiny")


# --- what else is on disk ---


def seeds_trained(found: Results) -> list[tuple[str, int]]:
    return sorted(zip(found.runs["norm"], found.runs["seed"], strict=True))


def test_asking_for_fewer_seeds_leaves_no_result_out(tmp_path, digits):
    play(tmp_path, experiment("seeds=3"), digits, lambda _: finishes(CURVE))
    play(tmp_path, experiment("seeds=1"), digits, lambda _: None)
    found = read_results(tmp_path, "tiny")
    assert seeds_trained(found) == [(n, s) for n in ("batch", "none") for s in range(3)]
    assert set(found.runs["state"]) == {"finished"}
    assert set(found.runs["role"]) == {"report"}


def test_runs_under_another_config_are_another_matter(tmp_path, digits):
    play(tmp_path, experiment("seeds=3", "optimizer.lr=0.3"), digits, lambda _: finishes(CURVE))
    play(tmp_path, experiment("seeds=1"), digits, lambda _: finishes(CURVE))
    found = read_results(tmp_path, "tiny")
    assert seeds_trained(found) == [("batch", 0), ("none", 0)]


def test_a_norm_that_was_not_asked_for_is_left_out(tmp_path, digits):
    play(tmp_path, experiment("norms=[none, rms]"), digits, lambda _: finishes(CURVE))
    play(tmp_path, experiment("norms=[none, batch]"), digits, lambda _: finishes(CURVE))
    assert set(read_results(tmp_path, "tiny").runs["norm"]) == {"none", "batch"}


def test_files_that_are_not_ours_do_no_harm(tmp_path, digits):
    play(tmp_path, experiment(), digits, lambda _: finishes(CURVE))
    (tmp_path / "tiny" / "notes").mkdir()
    (tmp_path / "tiny" / "notes.txt").write_text("mine")
    assert len(read_results(tmp_path, "tiny").runs) == 4


def compared(results: Path) -> int:
    """Every table can be made; the number of runs in the convergence table."""
    comparison = ExperimentResult(read_results(results, "tiny"))
    comparison.to_dict()
    return int(comparison.convergence["runs"].sum())


def test_a_sweep_made_before_does_not_disturb_the_experiment_without_it(tmp_path, digits):
    play(tmp_path, experiment("sweep.model.depth=[3, 4]"), digits, lambda _: finishes(CURVE))
    play(tmp_path, experiment(), digits, lambda _: finishes(CURVE))
    assert compared(tmp_path) == 4


def test_a_tuning_made_before_does_not_disturb_the_experiment_without_it(tmp_path, digits):
    tune = ("tune={optimizer.lr: [0.1, 0.2], seeds: 3}",)
    play(tmp_path, experiment(*tune), digits, lambda _: finishes(CURVE))
    play(tmp_path, experiment(), digits, lambda _: finishes(CURVE))
    assert compared(tmp_path) == 4


def test_a_label_may_be_given_to_another_norm(tmp_path, digits):
    for groups in (4, 2):
        named = f"norms=[none, {{kind: group, groups: {groups}, name: mine}}]"
        play(tmp_path, experiment(named), digits, lambda _: finishes(CURVE))
    assert compared(tmp_path) == 4


def test_a_grid_may_hold_the_value_that_is_configured(tmp_path, digits):
    wanted = experiment("tune={optimizer.lr: [0.1, 0.2], seeds: 3}")
    play(tmp_path, wanted, digits, lambda _: finishes(CURVE))
    chosen = ExperimentResult(read_results(tmp_path, "tiny")).chosen
    assert set(chosen.values()) == {0.1}
    store = ExperimentStore(tmp_path, "tiny")
    plan = reuse_folders([*expand(wanted), *best_runs(wanted, chosen)], store.folders())
    store.write_plan(wanted.resolved(), [run.record() for run in plan])
    assert compared(tmp_path) == 4
    best = ExperimentResult(read_results(tmp_path, "tiny")).best
    assert best is not None
    assert int(best.convergence["runs"].sum()) == 4


def test_results_can_be_narrowed(mixed):
    found = read_results(mixed, "tiny")
    narrow = found.only(found.runs["norm"].isin(["layer", "batch"]))
    assert set(narrow.runs["norm"]) == {"layer", "batch"}
    assert set(narrow.curves["run"]) == set(narrow.runs["run"])
    assert set(narrow.probes["run"]) == {folder(mixed, "batch", 0, *MIXED).name}
    assert list(narrow.reasons.values()) == ["it broke"]
