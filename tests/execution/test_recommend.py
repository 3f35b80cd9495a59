"""What a budget becomes: an ordinary experiment, and a race that ends where nothing is left."""

from __future__ import annotations

from typing import Any

import pytest
from scripted import ScriptedExecutor, fails, finishes
from tiny import experiment

from normbench.api import compare
from normbench.errors import ConfigError
from normbench.execution import carry_out
from normbench.execution.recommend import Purse, grid_around, name_of, parse_budget, plan_within
from normbench.plan import expand, reuse_folders
from normbench.report.answer import answer
from normbench.report.recommendation import of, plan_text
from normbench.seeding import stream
from normbench.store import ExperimentStore

THREE = ("norms=[none, batch, layer]", "probes.steps=none")


def accuracy(config: dict[str, Any]) -> float:
    """At 0.1, the rate of the config, batch leads; layer does better still at ten times that."""
    norm, rate = config["norm"]["kind"], config["optimizer"]["lr"]
    noise = 0.05 * float(stream(config["seed"], f"{norm} {rate}").random())
    own = {"none": 0.2, "batch": 0.5 - 0.1 * (rate != 0.1), "layer": 0.3 + 0.4 * (rate > 0.9)}
    return own[norm] + noise


def recommend(root, digits, budget: str, *overrides: str, fresh=False, of_=accuracy):
    """The recommendation for the tiny experiment, the tasks trained for it, and its config."""
    asked = experiment(*THREE, *overrides)
    store = ExperimentStore(root, name_of(asked))
    wanted, purse = plan_within(asked, parse_budget(budget), digits, store, fresh=fresh)

    def script(task):
        end = of_(task.config)
        return fails() if end < 0 else finishes({0: 0.1, 12: end})

    executor = ScriptedExecutor(script)
    store.lock()
    try:
        found = carry_out(wanted, store, digits, executor, affords=purse.affords)
    finally:
        store.unlock()
    return of(found, purse), executor.tasks, wanted


@pytest.mark.parametrize(
    ("text", "amount", "runs"),
    [("10m", 600, False), ("90s", 90, False), ("1.5h", 5400, False), ("40 runs", 40, True)],
)
def test_a_budget_is_a_time_of_one_core_or_a_number_of_runs(text, amount, runs):
    found = parse_budget(text)
    assert (found.amount, found.runs) == (amount, runs)


@pytest.mark.parametrize("text", ["", "ten", "10", "0m", "-3m", "10 apples"])
def test_anything_else_is_a_mistake_with_examples(text):
    with pytest.raises(ConfigError, match="is not a time or a number of runs") as caught:
        parse_budget(text)
    assert "10m" in str(caught.value)


def test_the_grid_lies_around_the_rate_of_the_config():
    assert grid_around(0.1, 7) == [0.0032, 0.01, 0.032, 0.1, 0.32, 1.0, 3.2]
    assert grid_around(0.05, 3) == [0.016, 0.05, 0.16]


@pytest.fixture(scope="module")
def clear(tmp_path_factory, digits):
    """The results' folder, the recommendation, its runs and its config, where one norm leads."""
    root = tmp_path_factory.mktemp("clear")
    return root, *recommend(root, digits, "400 runs")


def test_it_names_the_norm_that_leads_at_its_own_best_rate(clear):
    root, found, tasks, wanted = clear
    assert len(wanted.tune.values) == 7
    first, *_ = found.sentences
    assert first.startswith("With each norm at its own best optimizer.lr: use layer: ")
    assert found.comparison.chosen["layer", ()] in (1.0, 3.2)
    assert found.open[-1].startswith("A grid that goes on beyond its ends") or (
        found.open == ("Nothing is open that more budget would decide.",)
    )
    assert found.spent == f"{len(tasks)} runs"
    assert len(tasks) <= 400
    # An ordinary experiment, that other verbs read.
    again = compare("tiny-recommend", results=root)
    assert answer(again).sentences == found.sentences


def test_its_config_reproduces_the_comparison(tmp_path, digits, clear):
    from normbench.config import load

    _, found, tasks, wanted = clear
    again = load(found.path.read_text(), [])
    assert again.resolved() == wanted.resolved()
    executor = ScriptedExecutor(lambda task: finishes({0: 0.1, 12: accuracy(task.config)}))
    store = ExperimentStore(tmp_path / "elsewhere", again.name)
    store.lock()
    rerun = carry_out(again, store, digits, executor)
    store.unlock()
    assert [task.key for task in executor.tasks] == [task.key for task in tasks]
    assert answer(rerun).sentences == found.sentences


@pytest.mark.parametrize("budget", [18, 40, 63, 90, 130])
def test_it_never_spends_more_than_the_budget_and_always_compares(tmp_path, digits, budget):
    found, tasks, _ = recommend(tmp_path, digits, f"{budget} runs")
    assert len(tasks) <= budget
    assert found.sentences
    seeds = found.comparison.judged.best_set["seeds"]
    assert seeds.min() >= 6


def test_too_small_a_budget_is_a_mistake_that_names_the_least(tmp_path, digits):
    with pytest.raises(ConfigError, match="affords no comparison of 3 norms") as caught:
        recommend(tmp_path, digits, "17 runs")
    assert "the least is 18 runs" in str(caught.value)
    with pytest.raises(ConfigError, match="affords no comparison") as caught:
        recommend(tmp_path, digits, "0.001s")
    assert "the least is 18 runs, about " in str(caught.value)


def test_the_runs_that_set_the_target_are_paid_for_first(tmp_path, digits):
    pilots = ("target={from: batch, pilot_seeds: 3}",)
    with pytest.raises(ConfigError, match="the least is 21 runs"):
        recommend(tmp_path, digits, "20 runs", *pilots)
    found, tasks, _ = recommend(tmp_path, digits, "21 runs", *pilots)
    assert len(tasks) == 21
    assert found.sentences


def test_without_means_for_a_search_it_says_that_none_was_made(tmp_path, digits):
    found, _, wanted = recommend(tmp_path, digits, "30 runs")
    assert wanted.tune is None
    assert any(text.startswith("No learning rates were searched") for text in found.open)
    assert any("takes 72 runs or more" in text for text in found.open)


def alike(config: dict[str, Any]) -> float:
    """Nothing to be told apart, whatever the rate: only the seeds differ."""
    rate, norm = config["optimizer"]["lr"], config["norm"]["kind"]
    return 0.5 + 0.3 * float(stream(config["seed"], f"{norm} {rate}").random())


@pytest.mark.slow
def test_a_larger_budget_goes_on_with_the_same_design(tmp_path, digits):
    few, some, wanted = recommend(tmp_path, digits, "180 runs", of_=alike)
    assert few.open[0].startswith("The budget does not reach the next look, which takes ")
    more, rest, again = recommend(tmp_path, digits, "1000 runs", of_=alike)
    assert again == wanted
    assert rest
    assert not {task.key for task in some} & {task.key for task in rest}
    assert more.comparison.peeked == ""
    # Over: what is open now takes seeds that were not fixed beforehand.
    assert any("are another experiment" in text for text in more.open)
    _, none, _ = recommend(tmp_path, digits, "1000 runs", of_=alike)
    assert none == []


@pytest.mark.slow
def test_a_changed_config_or_a_fresh_start_is_designed_anew(tmp_path, digits):
    _, _, wanted = recommend(tmp_path, digits, "72 runs", of_=alike)
    _, _, fresh = recommend(tmp_path, digits, "90 runs", of_=alike, fresh=True)
    assert fresh.seed_list != wanted.seed_list
    _, _, other = recommend(tmp_path, digits, "72 runs", "model.depth=4", of_=alike)
    assert len(other.tune.values) == 3


def test_what_the_config_tunes_is_what_is_searched(tmp_path, digits):
    tune = "tune={data.batch_size: [16, 32, 64, 128], seeds: 3}"
    _, _, wanted = recommend(tmp_path, digits, "100 runs", tune, of_=alike)
    assert (wanted.tune.key, wanted.tune.values) == ("data.batch_size", (16, 32, 64, 128))
    assert wanted.tune.search == "halving"


def test_it_is_for_one_network_and_several_norms(tmp_path, digits):
    with pytest.raises(ConfigError, match="for one network"):
        recommend(tmp_path, digits, "300 runs", "sweep={model.depth: [3, 4]}")
    with pytest.raises(ConfigError, match="one norm only"):
        recommend(tmp_path, digits, "300 runs", "norms=[batch]")


def test_where_one_norm_is_left_its_two_rates_are_not_told_apart(tmp_path, digits):
    def one(config: dict[str, Any]) -> float:
        return alike(config) - 0.5 * (config["norm"]["kind"] != "batch")

    found, _, _ = recommend(tmp_path, digits, "400 runs", of_=one)
    assert found.comparison.judged.races[()].ended == "one left"
    assert found.comparison.judged.best_set["seeds"].tolist() == [8, 8, 8]


def test_in_time_the_runs_that_were_made_tell_what_more_of_them_cost(tmp_path, digits):
    # A scripted run takes 0.312 s: 0.012 s of training, 0.1 s of evaluation, 0.2 s of probes.
    _, _, wanted = recommend(tmp_path, digits, "72 runs", of_=alike)
    store = ExperimentStore(tmp_path, wanted.name)
    done = reuse_folders(expand(wanted), store.folders())
    more = expand(experiment(*THREE, "seeds=[50]"))
    for budget, afforded in (("12.1s", False), ("12.2s", True)):
        purse = Purse(parse_budget(budget), store)
        assert purse.affords(done)
        assert purse.spent == pytest.approx(0.312 * 36)
        assert purse.each == pytest.approx(0.312)
        assert purse.affords(more) is afforded
        assert purse.refused == (0 if afforded else 3)
    assert plan_text(wanted, purse).startswith("within 12.2s: each norm's own best optimizer.lr of")


def test_a_budget_that_was_cut_below_the_first_round_is_told(tmp_path, digits):
    asked = experiment(*THREE)
    store = ExperimentStore(tmp_path, name_of(asked))
    wanted, _ = plan_within(asked, parse_budget("100 runs"), digits, store)
    store.lock()
    purse = Purse(parse_budget("5 runs"), store)
    found = of(
        carry_out(wanted, store, digits, ScriptedExecutor(fails), affords=purse.affords), purse
    )
    store.unlock()
    assert found.sentences == ()
    assert found.open[0].startswith("The budget does not reach the first comparison")
    assert repr(found).startswith(found.open[0])
    assert found.to_dict()["recommendation"]["spent"] == "0 runs"
