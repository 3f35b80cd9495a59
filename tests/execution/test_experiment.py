"""Whole experiments with invented results: what is trained next follows from what came out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import ScriptedExecutor, fails, finishes
from tiny import experiment

from normbench.api import compare
from normbench.execution import NullObserver, Task, carry_out, what_is_left
from normbench.report.answer import answer
from normbench.results.experiment import ExperimentResult
from normbench.seeding import stream
from normbench.store import ExperimentStore

Accuracy = Callable[[dict[str, Any]], float]
"""Of a run's resolved config."""

RACE = ("seeds={from: 8, to: 16, step: 4}", "norms=[none, batch, layer]", "probes.steps=none")


def accuracy(config: dict[str, Any]) -> float:
    """None is far behind; batch and layer cannot be told apart within 16 seeds."""
    place = {"none": 0.2, "batch": 0.6, "layer": 0.6}[config["norm"]["kind"]]
    return place + 0.1 * float(stream(config["seed"], config["norm"]["kind"]).random())


class Stopping(ScriptedExecutor):
    """Is asked to stop after so many runs."""

    def __init__(self, script, after: int):
        super().__init__(script)
        self.after = after

    def should_stop(self) -> bool:
        return len(self.tasks) > self.after


class Seen(NullObserver):
    def __init__(self) -> None:
        self.findings: list[str] = []

    def looked(self, findings) -> None:
        self.findings += findings


def carry(
    root: Path,
    dataset,
    *overrides: str,
    of: Accuracy = accuracy,
    after: int = 10**6,
    watch: NullObserver | None = None,
) -> tuple[ExperimentResult, list[Task]]:
    """Carry out the tiny experiment; the result, and the runs that were trained for it."""

    def script(task: Task):
        end = of(task.config)
        return fails() if end < 0 else finishes({0: 0.1, 12: end})

    wanted = experiment(*overrides)
    executor = Stopping(script, after)
    store = ExperimentStore(root, wanted.name)
    store.lock()
    try:
        found = carry_out(
            wanted, store, dataset, executor, watch=watch, should_stop=executor.should_stop
        )
    finally:
        store.unlock()
    return found, executor.tasks


def seeds(comparison: ExperimentResult, role: str = "report") -> dict[str, int]:
    runs = comparison.results.runs
    own = runs[(runs["role"] == role) & runs["state"].isin(["finished", "failed"])]
    return own.groupby("norm")["seed"].nunique().to_dict()


def tables(root: Path) -> dict[str, Any]:
    """Everything that is read back, but for how the runs came about."""
    found = compare("tiny", results=root)
    plan = json.loads((root / "tiny" / "experiment.json").read_text())
    return {"tables": found.to_dict(), "best": found.judged.best_set.to_json(), "plan": plan}


@pytest.fixture(scope="module")
def raced(tmp_path_factory, digits) -> tuple[Path, ExperimentResult, Seen]:
    """The race, carried out once without an interruption."""
    root, watch = tmp_path_factory.mktemp("raced"), Seen()
    found, _ = carry(root, digits, *RACE, watch=watch)
    return root, found, watch


@pytest.fixture(scope="module")
def tuned_tables(tmp_path_factory, digits) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("tuned")
    carry(root, digits, *RACE, TUNE, of=tuned)
    return tables(root)


def test_a_norm_outside_the_best_set_gets_no_more_seeds(raced):
    _, found, watch = raced
    assert seeds(found) == {"none": 8, "batch": 16, "layer": 16}
    ended = found.reported.races[()]
    assert (ended.ended, ended.racing) == ("at the last look", ("batch", "layer"))
    best = found.reported.best_set.set_index("norm")
    assert best["seeds"].to_dict() == seeds(found)
    assert best.loc["none", "verdict"] == "worse"
    assert watch.findings == [
        "look 1, out: none; batch, layer go on to 12 seeds",
        "look 2, out: none; batch, layer go on to 16 seeds",
        "look 3, out: none; ended with batch, layer (at the last look)",
    ]


def test_it_ends_as_soon_as_one_norm_is_left(tmp_path, digits):
    def clear(config: dict[str, Any]) -> float:
        return accuracy(config) + 0.2 * (config["norm"]["kind"] == "batch")

    found, tasks = carry(tmp_path, digits, *RACE, of=clear)
    assert seeds(found) == {"none": 8, "batch": 8, "layer": 8}
    assert len(tasks) == 24
    assert found.reported.races[()].ended == "one left"


def test_it_ends_when_all_that_are_left_are_similar(tmp_path, digits):
    def alike(config: dict[str, Any]) -> float:
        end = accuracy(config)
        return end if config["norm"]["kind"] == "none" else 0.6 + 0.01 * (end - 0.6)

    found, _ = carry(tmp_path, digits, *RACE, of=alike)
    assert seeds(found) == {"none": 8, "batch": 8, "layer": 8}
    assert found.reported.races[()].ended == "similar"


def test_every_sweep_point_has_a_race_of_its_own(tmp_path, digits):
    def deep(config: dict[str, Any]) -> float:
        ahead = config["model"]["depth"] == 4 and config["norm"]["kind"] == "batch"
        return accuracy(config) + 0.2 * ahead

    found, _ = carry(tmp_path, digits, *RACE, "sweep={model.depth: [3, 4]}", of=deep)
    taken = found.results.runs.groupby(["model.depth", "norm"])["seed"].nunique().to_dict()
    # Of two points each spends half of the alpha, so that even a clear difference takes 12 seeds.
    assert [taken[4, norm] for norm in ("none", "batch", "layer")] == [8, 12, 12]
    assert [taken[3, norm] for norm in ("none", "batch", "layer")] == [8, 16, 16]


@pytest.mark.parametrize("after", [0, 23, 27, 37])
def test_an_interrupted_race_goes_on_to_the_same_runs_and_tables(tmp_path, digits, raced, after):
    first, some = carry(tmp_path, digits, *RACE, after=after)
    assert first.outcome is not None
    assert first.outcome.stopped
    again, rest = carry(tmp_path, digits, *RACE)
    assert not {task.key for task in some} & {task.key for task in rest}
    assert tables(tmp_path) == tables(raced[0])
    assert again.peeked == ""


def test_a_failed_run_does_not_hold_the_race_up(tmp_path, digits):
    def one_fails(config: dict[str, Any]) -> float:
        return -1 if (config["norm"]["kind"], config["seed"]) == ("batch", 5) else accuracy(config)

    found, _ = carry(tmp_path, digits, *RACE, of=one_fails)
    assert seeds(found) == {"none": 8, "batch": 16, "layer": 16}


def test_the_record_holds_the_looks(raced):
    plan = json.loads((raced[0] / "tiny" / "experiment.json").read_text())
    assert plan["looked_at"] == [16]
    assert plan["looks"]["seeds"] == [8, 12, 16]
    assert sum(plan["looks"]["alpha"]) == pytest.approx(0.05)
    assert plan["looks"]["points"] == [
        {
            "point": {},
            "look": 2,
            "racing": ["batch", "layer"],
            "seeds": {"none": 8, "batch": 16, "layer": 16},
            "ended": "at the last look",
        }
    ]


# -- tuning -----------------------------------------------------------------------------------

TUNE = "tune={optimizer.lr: [0.1, 0.2], seeds: 3}"


def tuned(config: dict[str, Any]) -> float:
    """None is best at 0.2, the others at 0.1, which is the shared rate."""
    own = 0.2 if config["norm"]["kind"] == "none" else 0.1
    return accuracy(config) - 0.15 * (config["optimizer"]["lr"] != own)


def test_the_race_is_at_own_best_values_and_the_shared_value_keeps_the_first_seeds(
    tmp_path, digits
):
    found, _ = carry(tmp_path, digits, *RACE, TUNE, of=tuned)
    assert found.chosen == {("none", ()): 0.2, ("batch", ()): 0.1, ("layer", ()): 0.1}
    assert seeds(found, "best") == {"none": 8, "batch": 16, "layer": 16}
    assert seeds(found, "report") == {"none": 8, "batch": 8, "layer": 8}
    assert found.reported.races == {}
    assert found.judged is found.best


@pytest.mark.parametrize("after", [30, 45])
def test_an_interrupted_race_of_tuned_norms_goes_on_to_the_same_tables(
    tmp_path, digits, tuned_tables, after
):
    carry(tmp_path, digits, *RACE, TUNE, of=tuned, after=after)
    carry(tmp_path, digits, *RACE, TUNE, of=tuned)
    assert tables(tmp_path) == tuned_tables


def test_a_sweep_and_a_tuning_give_the_own_best_at_every_point(tmp_path, digits):
    def of(config: dict[str, Any]) -> float:
        own = 0.1 if config["model"]["depth"] == 3 else 0.2
        return accuracy(config) - 0.15 * (config["optimizer"]["lr"] != own)

    sweep = "sweep={model.depth: [3, 4]}"
    found, _ = carry(tmp_path, digits, "seeds=2", "probes.steps=none", sweep, TUNE, of=of)
    assert found.best is not None
    best = found.best.results.runs
    assert len(best) == 2 * 2 * 2
    assert best.groupby("model.depth")["tuned"].unique().map(list).to_dict() == {3: [0.1], 4: [0.2]}
    assert (best["state"] == "finished").all()
    gains = found.choices.set_index(["norm", "model.depth"])["gain"]
    assert gains["none", 3] == 0
    assert gains["none", 4] == pytest.approx(0.075)  # of the area, half of it before the end


def test_a_whole_number_is_tuned_as_a_whole_number(tmp_path, digits):
    def of(config: dict[str, Any]) -> float:
        own = 64 if config["norm"]["kind"] == "batch" else 32
        return accuracy(config) - 0.1 * (config["data"]["batch_size"] != own)

    tune = "tune={data.batch_size: [32, 64], seeds: 3}"
    found, _ = carry(tmp_path, digits, tune, "probes.steps=none", of=of)
    assert found.chosen == {("none", ()): 32, ("batch", ()): 64}
    assert all(type(value) is int for value in found.chosen.values())
    assert seeds(found, "best") == {"none": 2, "batch": 2}


# -- looking, and looking again ---------------------------------------------------------------

FIXED = ("probes.steps=none", "norms=[none, batch]")


def test_seeds_added_to_a_finished_experiment_are_noticed(tmp_path, digits):
    first, _ = carry(tmp_path, digits, *FIXED, "seeds=8")
    assert (first.looked_at, first.peeked) == ((8,), "")
    again, _ = carry(tmp_path, digits, *FIXED, "seeds=8")
    assert (again.looked_at, again.peeked) == ((8,), "")
    more, _ = carry(tmp_path, digits, *FIXED, "seeds=12")
    assert more.looked_at == (8, 12)
    assert "looked at with 8 seeds before it became 12" in more.peeked
    assert compare("tiny", results=tmp_path).peeked == more.peeked


def test_seeds_in_steps_after_a_fixed_number_are_noticed(tmp_path, digits):
    carry(tmp_path, digits, *RACE[1:], "seeds=9")
    found, _ = carry(tmp_path, digits, *RACE)
    assert found.looked_at == (9, 16)
    assert found.peeked


def test_an_interrupted_training_is_not_looked_at(tmp_path, digits):
    found, _ = carry(tmp_path, digits, *FIXED, "seeds=8", after=5)
    assert found.looked_at == ()
    found, _ = carry(tmp_path, digits, *FIXED, "seeds=12")
    assert (found.looked_at, found.peeked) == ((12,), "")


def test_what_was_looked_at_under_another_config_does_not_count(tmp_path, digits):
    carry(tmp_path, digits, *FIXED, "seeds=8")
    found, _ = carry(tmp_path, digits, *FIXED, "seeds=12", "model.depth=4")
    assert found.looked_at == (12,)


def test_a_metric_that_is_chosen_after_the_results_were_seen_is_exploratory(tmp_path, digits):
    first, _ = carry(tmp_path, digits, *FIXED, "seeds=8")
    assert first.rule_changed == ""
    carry(tmp_path, digits, *FIXED, "seeds=8", "verdict={metric: test_accuracy}")
    found = compare("tiny", results=tmp_path)
    assert found.rule_changed.startswith(
        "The verdict was to be by auc (similar within 0.01), and is by test_accuracy (similar "
        "within 0.01): changed after 8 seeds had been compared"
    )
    told = answer(found)
    assert found.rule_changed in told.caveats
    assert told.to_dict()["exploratory"] is True
    carry(tmp_path, digits, *FIXED, "seeds=8", "verdict={similar_within: 0.05}")
    assert "auc (similar within 0.05)" in compare("tiny", results=tmp_path).rule_changed
    carry(tmp_path, digits, *FIXED, "seeds=8")
    assert compare("tiny", results=tmp_path).rule_changed == ""


def test_a_metric_may_change_before_anything_was_compared(tmp_path, digits):
    carry(tmp_path, digits, *FIXED, "seeds=8", after=5)
    carry(tmp_path, digits, *FIXED, "seeds=8", "verdict={metric: test_accuracy}")
    found = compare("tiny", results=tmp_path)
    assert found.rule_changed == ""
    assert answer(found).to_dict()["exploratory"] is False


def test_a_record_of_an_older_normbench_knows_the_rule_it_had_last(tmp_path, digits):
    carry(tmp_path, digits, *FIXED, "seeds=8")
    path = tmp_path / "tiny" / "experiment.json"
    record = json.loads(path.read_text())
    del record["rules"]
    path.write_text(json.dumps(record))
    assert compare("tiny", results=tmp_path).rule_changed == ""
    carry(tmp_path, digits, *FIXED, "seeds=8", "verdict={metric: test_accuracy}")
    assert "to be by auc" in compare("tiny", results=tmp_path).rule_changed


# -- before anything is trained ---------------------------------------------------------------


def test_what_is_left_follows_the_same_rounds(tmp_path, digits):
    wanted = experiment(*RACE)
    store = ExperimentStore(tmp_path, wanted.name)
    known, left, more = what_is_left(wanted, store)
    assert (len(known), len(left), more) == (24, 24, True)
    assert not (tmp_path / wanted.name).exists()
    carry(tmp_path, digits, *RACE, after=27)  # in the second look
    known, left, more = what_is_left(wanted, store)
    assert {run.norm for run in left} == {"batch", "layer"}
    assert (len(known), more) == (32, True)
    carry(tmp_path, digits, *RACE)
    assert what_is_left(wanted, store)[1:] == ([], False)


def test_the_next_looks_of_one_design_are_no_peeking_where_a_budget_ended_before_them(
    tmp_path, digits
):
    wanted = experiment(*RACE)
    store = ExperimentStore(tmp_path, wanted.name)

    def until(most: int) -> ExperimentResult:
        executor = ScriptedExecutor(lambda task: finishes({0: 0.1, 12: accuracy(task.config)}))
        store.lock()
        try:
            return carry_out(
                wanted, store, digits, executor, affords=lambda plan: plan[-1].seed < most
            )
        finally:
            store.unlock()

    assert until(8).looked_at == (8,)
    assert until(12).looked_at == (12,)
    assert until(16).looked_at == (16,)
    again = compare("tiny", results=tmp_path)
    assert (again.looked_at, again.peeked) == ((16,), "")
    more, _ = carry(tmp_path, digits, *RACE, "seeds={from: 8, to: 20, step: 4}")
    assert more.looked_at == (16, 20)
    assert more.peeked
