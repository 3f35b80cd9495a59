"""A swept and tuned experiment read back: fairness, pivots, and the choices."""

from __future__ import annotations

import json

import pytest
from scripted import ScriptedExecutor, finishes, play
from tiny import experiment

from normbench.api import compare
from normbench.execution import execute
from normbench.plan import PlannedRun, best_runs, expand, reuse_folders
from normbench.report.sections import by_key, tuning_sections
from normbench.store import ExperimentStore


def put(root, digits, script, *overrides):
    """The tiny experiment with the runs at each norm's own best value."""
    wanted = experiment(*overrides)
    play(root, wanted, digits, script)
    chosen = compare("tiny", results=root).chosen
    store = ExperimentStore(root, "tiny")
    plan = reuse_folders([*expand(wanted), *best_runs(wanted, chosen)], store.folders())
    by_folder = {run.folder: run for run in plan}
    executor = ScriptedExecutor(lambda task: script(by_folder[task.key]))
    store.write_plan(wanted.resolved(), [run.record() for run in plan])
    execute(plan, store, digits, executor)
    return compare("tiny", results=root)


@pytest.mark.parametrize(
    ("key", "grid"), [("data.batch_size", "[32, 64]"), ("model.width", "[8, 16]")]
)
def test_own_best_values_that_change_batches_or_backbone_are_fair(tmp_path, digits, key, grid):
    def script(run: PlannedRun):
        if key == "data.batch_size":
            end = 0.9 if (run.config.data.batch_size == 64) == (run.norm == "batch") else 0.5
        else:
            end = 0.9 if (run.config.model.options().width == 16) == (run.norm == "batch") else 0.5
        size, width = run.config.data.batch_size, run.config.model.options().width
        return finishes({0: 0.1, 12: end}, batches=f"of {size}", backbone=f"of width {width}")

    found = put(tmp_path, digits, script, f"tune={{{key}: {grid}, seeds: 3}}")
    assert len(set(found.chosen.values())) == 2
    assert found.fairness.equal_terms


def test_own_best_rates_are_still_held_against_one_another(tmp_path, digits):
    def script(run: PlannedRun):
        end = 0.9 if (run.config.optimizer.lr == 0.2) == (run.norm == "batch") else 0.5
        wrong = run.role == "best" and run.norm == "batch" and run.seed == 1
        return finishes({0: 0.1, 12: end}, backbone="another" if wrong else "same")

    found = put(tmp_path, digits, script, "tune={optimizer.lr: [0.1, 0.2], seeds: 3}")
    assert not found.fairness.backbones_identical


def test_the_table_of_choices_says_when_own_best_is_worse_than_shared(tmp_path, digits):
    def script(run: PlannedRun):
        better_in_tuning = run.role == "tune" and run.config.optimizer.lr == 0.2
        return finishes({0: 0.1, 12: 0.9 if better_in_tuning else 0.8 - run.config.optimizer.lr})

    found = put(tmp_path, digits, script, "tune={optimizer.lr: [0.1, 0.2], seeds: 3}")
    assert found.choices["worse"].all()
    section = next(iter(tuning_sections(found, "optimizer.lr")))
    shown = section.columns[-1].text(section.rows.to_dict("records")[0])
    assert "worse than shared by 0.05 over 2 seeds" in shown


def test_a_swept_boolean_is_found_as_the_configured_value(tmp_path, digits):
    def script(run: PlannedRun):
        return finishes({0: 0.1, 12: 0.6 + 0.1 * run.config.optimizer.nesterov})

    play(tmp_path, experiment("sweep={optimizer.nesterov: [false, true]}"), digits, script)
    found = compare("tiny", results=tmp_path)
    section = by_key(found, "optimizer.nesterov", "val_accuracy", found.value("optimizer.nesterov"))
    assert "against the same norm at optimizer.nesterov=false" in section.note


def test_a_pivot_stands_at_own_best_values_as_well(cli, tmp_path, digits):
    def script(run: PlannedRun):
        own = 0.1 if run.norm == "none" else 0.2
        return finishes({0: 0.1, 12: 0.8 - 0.2 * (run.config.optimizer.lr != own)})

    put(
        tmp_path / "results",
        digits,
        script,
        "sweep={model.depth: [3, 4]}",
        "tune={optimizer.lr: [0.1, 0.2], seeds: 3}",
    )
    done = cli("compare", "tiny", "--by", "model.depth")
    assert "by model.depth, optimizer.lr as configured" in " ".join(done.out.split())
    assert "optimizer.lr at each norm's own best" in " ".join(done.out.split())
    found = json.loads(cli("compare", "tiny", "--by", "model.depth", "--json").out)
    assert [row["4"] for row in found["rows"]] == pytest.approx([0.8, 0.6])
    assert [row["4"] for row in found["best"]] == pytest.approx([0.8, 0.8])


def test_a_pivot_marks_the_norms_that_may_be_the_best_at_each_value(cli, tmp_path, digits):
    def script(run: PlannedRun):
        deep = run.config.model.depth == 4
        learns = 0.9 if (run.norm == "batch") == deep else 0.5
        return finishes({0: 0.1, 12: learns + 0.001 * run.seed})

    put(tmp_path / "results", digits, script, "sweep={model.depth: [3, 4]}", "seeds=12")
    found = json.loads(cli("compare", "tiny", "--by", "model.depth", "--json").out)
    leads = {row["norm"]: row["may_be_best"] for row in found["rows"]}
    assert leads == {"none": {"3": True, "4": False}, "batch": {"3": False, "4": True}}
    shown = cli("compare", "tiny", "--by", "model.depth").out
    assert "★ may be the best norm at its value" in shown
    rows = {line.split()[0]: line for line in shown.splitlines() if line.strip()}
    assert rows["batch"].count("★") == rows["none"].count("★") == 1


def test_with_too_few_seeds_no_norm_of_a_pivot_is_starred(cli, tmp_path, digits):
    put(
        tmp_path / "results",
        digits,
        lambda run: finishes({0: 0.1, 12: 0.5 + 0.3 * (run.norm == "batch")}),
        "sweep={model.depth: [3, 4]}",
        "seeds=2",
    )
    assert "★" not in cli("compare", "tiny", "--by", "model.depth").out
