"""Whole experiments that search own best values by halving: rounds, the race, and what is read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_experiment import Seen, carry, seeds, tables
from tiny import experiment

from normbench.api import compare
from normbench.errors import StoreError
from normbench.execution import Task
from normbench.execution.experiment import so_far
from normbench.report.answer import answer
from normbench.report.sections import sections
from normbench.results.experiment import ExperimentResult
from normbench.seeding import stream
from normbench.store import ExperimentStore

GRID = (0.01, 0.03, 0.1, 0.3, 1.0)
HALVED = (
    "norms=[none, batch, layer]",
    "probes.steps=none",
    "seeds={from: 8, to: 16, step: 4}",
    "tune={optimizer.lr: [0.01, 0.03, 0.1, 0.3, 1.0], seeds: 4, search: halving}",
)
OWN = {"none": 1, "batch": 3, "layer": 2}
"""Where on the grid each norm is best."""


def accuracy(config: dict[str, Any]) -> float:
    """None is far behind; batch and layer cannot be told apart, each at its own rate."""
    norm, rate = config["norm"]["kind"], config["optimizer"]["lr"]
    away = abs(GRID.index(rate) - OWN[norm])
    noise = float(stream(config["seed"], f"{norm} {rate}").random())
    return {"none": 0.3}.get(norm, 0.6) - 0.1 * away + 0.05 * noise


def of_role(comparison, role: str) -> dict[tuple[str, float], int]:
    """(norm, rate) -> runs."""
    runs = comparison.results.runs
    return runs[runs["role"] == role].groupby(["norm", "tuned"]).size().to_dict()


@dataclass
class Whole:
    """The experiment, carried out once without an interruption."""

    root: Path
    found: ExperimentResult
    tasks: list[Task]
    watch: Seen


@pytest.fixture(scope="module")
def whole(tmp_path_factory, digits) -> Whole:
    root, watch = tmp_path_factory.mktemp("whole"), Seen()
    return Whole(root, *carry(root, digits, *HALVED, of=accuracy, watch=watch), watch)


@pytest.fixture(scope="module")
def whole_tables(whole) -> dict[str, Any]:
    return tables(whole.root)


def test_every_norm_has_the_same_number_of_tuning_runs_and_two_values_race(whole):
    found, tasks, watch = whole.found, whole.tasks, whole.watch
    tuning = of_role(found, "tune")
    assert {tuning[norm, GRID[own]] for norm, own in OWN.items()} == {4}
    for norm in OWN:
        counts = sorted(n for (name, _), n in tuning.items() if name == norm)
        assert counts == [2, 2, 4, 4, 4]
    racing = of_role(found, "best")
    assert {norm: sum(name == norm for name, _ in racing) for norm in OWN} == dict.fromkeys(OWN, 2)
    assert "report" not in set(found.results.runs["role"])
    assert len(tasks) == sum(tuning.values()) + sum(racing.values())
    assert watch.findings[0].startswith("none: optimizer.lr 0.03, ")
    assert watch.findings[0].endswith(" go on to 4 seeds")
    assert any(line.startswith("batch: optimizer.lr 0.3, ") for line in watch.findings[3:6])
    assert watch.findings[6].startswith("look 1, out: none at ")


def test_a_norm_stands_by_its_contender_in_front(whole):
    found = whole.found
    assert found.chosen == {(norm, ()): GRID[own] for norm, own in OWN.items()}
    best = found.judged.best_set.set_index("norm")
    assert best["in_set"].to_dict() == {"none": False, "batch": True, "layer": True}
    assert best["rank"].tolist() == [0, 1, 2]
    assert best["verdict"].iloc[0] == "leader"
    assert best.loc["none", "verdict"] == "worse"
    # Each norm once, whatever raced.
    assert found.best is not None
    assert seeds(found, "best") == {"none": 8, "batch": 12, "layer": 12}
    assert found.judged.races[()].ended == "similar"
    assert found.best.results.runs.groupby("norm")["tuned"].nunique().eq(1).all()
    assert found.shared is None
    assert found.reported is found.best


def test_a_norm_is_in_as_long_as_either_value_may_be_best(tmp_path, digits):
    def luck(config: dict[str, Any]) -> float:
        """On the tuning seeds batch seems best at 0.3; on all others it is better at 0.1."""
        tuning = config["seed"] >= 16
        if config["norm"]["kind"] == "batch" and not tuning:
            return 0.62 if config["optimizer"]["lr"] == 0.1 else 0.4
        return accuracy(config) - 0.1 * (config["optimizer"]["lr"] == 1.0)

    found, _ = carry(tmp_path, digits, *HALVED, of=luck)
    assert found.searches["batch", ()].values == (0.3, 0.1)
    assert found.chosen["batch", ()] == 0.1
    assert found.judged.best_set.set_index("norm").loc["batch", "in_set"]
    out = [line for line in found.judged.races[()].need.items() if line[0] == "batch at 0.3"]
    assert out == [("batch at 0.3", 8)]


def test_what_is_said_and_shown_is_of_own_best_values_alone(whole):
    found = compare("tiny", results=whole.root)
    told = answer(found)
    assert told.sentences[0].startswith("With each norm at its own best optimizer.lr: ")
    assert not any("shared" in text for text in told.sentences)
    assert told.rows.set_index("norm")["tuned"].to_dict() == {
        norm: GRID[own] for norm, own in OWN.items()
    }
    titles = [section.title for section in sections(found)]
    assert not any("as configured" in title for title in titles)
    assert any("own best" in title for title in titles)
    assert "gain" not in found.choices
    assert set(json.loads(json.dumps(found.to_dict()))["tuned"]) >= {"chosen", "sensitivity"}


@pytest.mark.parametrize(  # in the first round, the second, and the race
    "after",
    [pytest.param(10, marks=pytest.mark.slow), 45, pytest.param(92, marks=pytest.mark.slow)],
)
def test_an_interrupted_search_goes_on_to_the_same_runs_and_tables(
    tmp_path, digits, whole_tables, after
):
    _, some = carry(tmp_path, digits, *HALVED, of=accuracy, after=after)
    _, rest = carry(tmp_path, digits, *HALVED, of=accuracy)
    assert not {task.key for task in some} & {task.key for task in rest}
    assert tables(tmp_path) == whole_tables


def test_while_it_searches_nothing_can_be_compared_yet(tmp_path, digits):
    carry(tmp_path, digits, *HALVED, of=accuracy, after=20)
    with pytest.raises(StoreError, match=r"still searches each norm's own best optimizer\.lr"):
        compare("tiny", results=tmp_path).require_outcomes()
    wanted = experiment(*HALVED)
    assert so_far(wanted, ExperimentStore(tmp_path, wanted.name)) is None


def test_what_is_known_so_far_is_replayed_from_what_is_on_disk(tmp_path, digits):
    carry(tmp_path, digits, *HALVED, of=accuracy, after=70)
    wanted = experiment(*HALVED)
    found = so_far(wanted, ExperimentStore(tmp_path, wanted.name))
    assert found is not None
    assert found.judged.races[()].look == -1


def test_a_sweep_searches_at_every_point(tmp_path, digits):
    two = "norms=[none, batch]"
    found, _ = carry(tmp_path, digits, two, HALVED[1], "seeds=2", HALVED[3], SWEEP, of=accuracy)
    assert {at[1] for at in found.searches} == {(3,), (4,)}
    assert found.chosen["batch", (3,)] == found.chosen["batch", (4,)] == 0.3
    assert len(found.judged.best_set) == 4


SWEEP = "sweep={model.depth: [3, 4]}"
