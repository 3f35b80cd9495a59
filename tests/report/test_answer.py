"""What an experiment says, from its runs to the sentences, whatever became of the runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reported import SWEEP, TUNED, put
from scripted import diverges, fails, finishes, play, probed, stops
from tiny import experiment

from normbench.report.answer import answer, to_dict
from normbench.report.fates import caveats
from normbench.results.experiment import ExperimentResult
from normbench.results.load import compare

NORMS = "norms=[none, batch, layer, rms]"
LEVEL = {"none": 0.3, "batch": 0.95, "layer": 0.85, "rms": 0.75}


def noise(*words: object) -> float:
    """The same for the same words: a tenth of what separates the norms."""
    return float(np.random.default_rng([hash_(word) for word in words]).normal() * 0.01)


def hash_(word: object) -> int:
    return sum(map(ord, str(word)))


def start(gradient: list[float], **more: list[float]):
    """The first probe of a network of as many layers."""
    layers = len(gradient)
    plain = {name: [1.0] * layers for name in vars(probed(0))["quantities"]}
    return probed(0, **plain | {"activation_gradient": gradient} | more)


def learns(run):
    end = LEVEL[run.norm] + noise(run.norm, run.seed)
    return finishes({0: 0.1, 5: end - 0.1, 12: end}, test=end)


def made(tmp_path, digits, script, *overrides: str) -> ExperimentResult:
    wanted = experiment(*overrides)
    play(tmp_path, wanted, digits, script)
    return compare(wanted.name, results=tmp_path)


def test_the_first_sentence_answers_which_norm(tmp_path, digits):
    found = answer(made(tmp_path, digits, learns, NORMS, "seeds=8"))
    first, *others = found.sentences
    assert first.startswith("Use batch: AUC 0.7")
    assert ", the next (95 % interval 0.0" in first
    assert first.endswith("at 8 seeds.")
    assert any(text.startswith("Also worse than batch: rms by") for text in others)
    assert "All others are better than the baseline “none”." in others
    assert any(
        text.startswith("A step takes 1 ms under batch, 1 ms under “none” (") for text in others
    )
    assert (found.best_set, found.leader, found.caveats) == (["batch"], "batch", ())


def test_a_baseline_that_leads_is_not_compared_with_a_second_time(tmp_path, digits):
    found = answer(made(tmp_path, digits, learns, NORMS, "seeds=8", "baseline=batch"))
    assert found.leader == "batch"
    assert not any("baseline" in text for text in found.sentences)


def test_rows_are_in_the_order_of_what_they_reached_the_leader_first(tmp_path, digits):
    rows = answer(made(tmp_path, digits, learns, NORMS, "seeds=8")).rows
    assert list(rows["norm"]) == ["batch", "layer", "rms", "none"]
    assert list(rows["verdict"]) == ["leader", "worse", "worse", "worse"]
    assert list(rows["at_chance"]) == [0, 0, 0, 0]


def vanishing(run):
    """Without a norm the squared gradient shrinks by six a layer, and nothing is learned."""
    if run.norm != "none":
        return learns(run)
    gradient = [6.0 ** (-(5 - layer) / 2) * (1 + 0.01 * run.seed) for layer in range(6)]
    return finishes({0: 0.1, 12: 0.1}, test=0.1, probes=[start(gradient)])


DEEP = ("model.depth=6", "model.init=torch_default")


def told_of_none(comparison: ExperimentResult) -> str:
    return next(text for text in answer(comparison).sentences if text.startswith("“none” never"))


def test_a_norm_that_never_left_chance_is_explained_by_what_was_measured(tmp_path, digits):
    found = made(tmp_path, digits, vanishing, NORMS, "seeds=8", *DEEP)
    assert told_of_none(found) == (
        "“none” never left chance in 8 of 8 runs: its squared gradient shrinks by a factor of 6.0 "
        "a layer toward the input, 7,800 over its 6 layers (measured at initialization, 8 seeds); "
        "under model.init=he_normal it would keep its size by theory (1.00 a layer, 0.17 under "
        "torch_default)."
    )
    row = answer(found).rows.set_index("norm").loc["none"]
    assert (row["at_chance"], row["never_left_chance"]) == (8, 8)


def test_a_gradient_that_changes_little_over_the_layers_explains_nothing(tmp_path, digits):
    def slightly(run):
        if run.norm != "none":
            return learns(run)
        gradient = [1.5 ** (-(5 - layer) / 2) * (1 + 0.01 * run.seed) for layer in range(6)]
        return finishes({0: 0.1, 12: 0.1}, test=0.1, probes=[start(gradient)])

    found = made(tmp_path, digits, slightly, NORMS, "seeds=8", *DEEP)
    assert told_of_none(found) == "“none” never left chance in 8 of 8 runs."


def test_where_nothing_learned_no_norm_is_advised_and_a_target_of_chance_is_noticed(
    tmp_path, digits
):
    def nothing(run):
        return diverges(6, 7) if run.norm == "none" else finishes({0: 0.1, 12: 0.1}, test=0.1)

    few = ("seeds=8", "target={val_accuracy: 0.1}")
    found = answer(made(tmp_path, digits, nothing, "norms=[none, batch, layer]", *few))
    assert found.sentences[0] == (
        "Nothing to choose from: of all 24 runs, none learned anything, so what the table shows is "
        "chance."
    )
    assert found.to_dict()["recommended"] is None
    assert "Guessing may reach the target of 10.0 %: steps to it say nothing." in found.caveats


def test_a_gradient_that_vanishes_does_not_explain_a_divergence(tmp_path, digits):
    def diverging(run):
        if run.norm != "none":
            return learns(run)
        gradient = [6.0 ** (-(5 - layer) / 2) * (1 + 0.01 * run.seed) for layer in range(6)]
        first, epoch, _, *rest = diverges(6, 7)
        return [first, epoch, start(gradient), *rest]

    sentences = answer(made(tmp_path, digits, diverging, NORMS, "seeds=8", *DEEP)).sentences
    told = next(text for text in sentences if text.startswith("“none” diverged"))
    assert told.endswith("counted as chance.")


def test_no_initialization_is_named_where_the_configs_own_keeps_the_gradient(tmp_path, digits):
    found = made(tmp_path, digits, vanishing, NORMS, "seeds=8", "model.depth=6")
    assert "init" not in told_of_none(found).replace("initialization", "")


def test_no_initialization_is_named_for_an_activation_under_which_it_does_not_help(
    tmp_path, digits
):
    wanted = (*DEEP, "model.activation=gelu")
    told = told_of_none(made(tmp_path, digits, vanishing, NORMS, "seeds=8", *wanted))
    assert "he_normal" not in told


def test_lecun_is_what_tanh_needs(tmp_path, digits):
    wanted = (*DEEP, "model.activation=tanh")
    told = told_of_none(made(tmp_path, digits, vanishing, NORMS, "seeds=8", *wanted))
    assert "under model.init=lecun_normal it would keep its size by theory" in told


def test_without_probes_nothing_is_said_of_a_cause(tmp_path, digits):
    def silent(run):
        return finishes({0: 0.1, 12: 0.1}) if run.norm == "none" else learns(run)

    found = made(tmp_path, digits, silent, NORMS, "seeds=8", *DEEP)
    assert told_of_none(found) == "“none” never left chance in 8 of 8 runs."


def test_a_gradient_that_seeds_disagree_about_explains_nothing(tmp_path, digits):
    def torn(run):
        if run.norm != "none":
            return learns(run)
        rate = 6.0 if run.seed % 2 else 1 / 3.0
        gradient = [rate ** (-(5 - layer) / 2) for layer in range(6)]
        return finishes({0: 0.1, 12: 0.1}, probes=[start(gradient)])

    told = told_of_none(made(tmp_path, digits, torn, NORMS, "seeds=8", *DEEP))
    assert told == "“none” never left chance in 8 of 8 runs."


def test_examples_that_became_alike_are_told_where_the_gradient_explains_nothing(tmp_path, digits):
    def alike(run):
        if run.norm != "layer":
            return learns(run)
        probe = start([1.0] * 6, effective_rank=[9.0, 6.0, 4.0, 2.0, 1.5, 1.1])
        return finishes({0: 0.1, 12: 0.1}, probes=[probe])

    found = answer(made(tmp_path, digits, alike, NORMS, "seeds=8", *DEEP))
    assert (
        "layer never left chance in 8 of 8 runs: the examples of a batch are nearly alike at its "
        "last layer, with an effective rank of 1.1 (measured at initialization, 8 seeds)."
    ) in found.sentences


def test_a_run_that_falls_back_to_chance_did_learn(tmp_path, digits):
    def script(run):
        if (run.norm, run.seed) == ("rms", 3):
            return finishes({0: 0.1, 5: 0.6, 12: 0.1})
        return learns(run)

    found = answer(made(tmp_path, digits, script, NORMS, "seeds=8"))
    assert "rms fell back to chance in 1 of 8 runs (seed 3)." in found.sentences
    assert found.rows.set_index("norm").loc["rms", "never_left_chance"] == 0


def test_seeds_that_failed_or_diverged_in_a_mean_are_named(tmp_path, digits):
    def script(run):
        if run.norm == "rms" and run.seed in (2, 5):
            return diverges(3, 5)
        if (run.norm, run.seed) == ("layer", 1):
            return fails("RuntimeError: it broke")
        return learns(run)

    comparison = made(tmp_path, digits, script, NORMS, "seeds=8")
    found = answer(comparison)
    assert "rms diverged in 2 of 8 runs (seeds 2 and 5), counted as chance." in found.sentences
    broke = "layer failed in 1 of 8 runs (seed 1: RuntimeError: it broke), which are in no mean."
    assert broke in found.sentences
    (caveat,) = found.caveats
    assert caveat.startswith("1 of 32 runs has no result (1 failed); where it broke stands under")
    place = caveat.rpartition(" in ")[2].rstrip(".")
    assert json.loads(Path(place).read_text())["details"] == "Traceback ..."


def test_a_norm_that_crashed_every_time_has_no_result(tmp_path, digits):
    found = answer(
        made(
            tmp_path,
            digits,
            lambda run: fails("it broke") if run.norm == "rms" else learns(run),
            NORMS,
            "seeds=8",
        )
    )
    assert "rms has no result: all 8 runs failed (it broke)." in found.sentences
    assert list(found.rows["norm"])[-1] == "rms"
    assert "rms" not in found.best_set


def test_nothing_trained_says_so(tmp_path, digits):
    found = answer(made(tmp_path, digits, lambda _: stops(4), NORMS, "seeds=2"))
    assert found.sentences == ("No run has a result yet.",)
    assert (found.best_set, found.leader) == ([], None)
    assert found.caveats == ("8 of 8 runs have no result (8 interrupted).",)


def test_a_sweep_says_where_it_turns(tmp_path, digits):
    lost = {2: 0.6, 4: 0.2}

    def script(run):
        size = run.sweep_point["data.batch_size"]
        end = LEVEL["batch"] + noise(run.norm, run.seed, size)
        if run.norm == "batch":
            end -= lost.get(size, 0.0)
        return finishes({0: 0.1, 5: end - 0.1, 12: end}, test=end)

    wanted = ("norms=[batch, layer, rms]", "seeds=12", "sweep={data.batch_size: [2, 4, 16, 32]}")
    found = answer(made(tmp_path, digits, script, *wanted))
    assert found.sentences[1].startswith("batch loses below 16: 0.5")
    assert "batch" not in found.best_set
    assert {"layer", "rms"} >= set(found.best_set)


def test_in_a_sweep_it_is_said_where_a_norm_learned_nothing(tmp_path, digits):
    def script(run):
        lost = run.norm == "none" and run.sweep_point["model.depth"] == 4
        return vanishing(run) if lost else learns(run)

    found = answer(made(tmp_path, digits, script, NORMS, "seeds=7", SWEEP[1]))
    (told,) = [text for text in found.sentences if "at chance" in text]
    assert told.startswith("“none” stayed at chance at depth 4: its squared gradient shrinks by")


# --- tuning ---


def tuned(made_tuned: ExperimentResult, state: str = "finished") -> ExperimentResult:
    runs = made_tuned.results.runs
    best = runs[runs["role"] == "report"].assign(role="best", tuned=0.1)
    ended = best.assign(state=[state, *best["state"].iloc[1:]])
    results = replace(made_tuned.results, runs=pd.concat([runs, ended], ignore_index=True))
    return ExperimentResult(results)


def test_until_all_runs_at_the_best_values_have_ended_the_answer_is_of_the_others(made_tuned):
    assert answer(made_tuned).sentences[0].startswith("With optimizer.lr as configured: ")
    own = answer(tuned(made_tuned))
    assert own.sentences[0].startswith("With each norm at its own best optimizer.lr: ")
    assert own.tuned_key == "optimizer.lr"
    waiting = answer(tuned(made_tuned, "missing"))
    assert waiting.sentences[0].startswith("With optimizer.lr as configured: ")
    assert waiting.tuned_key == ""


def test_own_best_stands_beside_the_shared_value(made_tuned):
    found = answer(tuned(made_tuned))
    shared = made_tuned.reported.best_set.set_index("norm")["value"]
    rows = found.rows.set_index("norm")
    assert rows["shared_value"].to_dict() == pytest.approx(shared.to_dict())
    assert set(rows["tuned"]) <= {0.1, 0.2}
    assert any(text.startswith("At the shared optimizer.lr of 0.1, ") for text in found.sentences)


@pytest.fixture
def made_tuned(tmp_path, digits) -> ExperimentResult:
    return put(tmp_path, digits, *TUNED)


# --- caveats and JSON ---


def test_the_ends_of_the_grid_are_one_caveat(made_tuned):
    (told,) = [text for text in caveats(made_tuned) if "grid" in text]
    assert told.startswith("The best optimizer.lr lies at an end of the grid for “none” (lowest)")


def test_seeds_added_after_a_look_are_told(tmp_path, digits):
    found = made(tmp_path, digits, learns, NORMS, "seeds=8")
    assert answer(found).caveats == ()
    looked = ExperimentResult(replace(found.results, looked_at=(6, 8)))
    (told,) = answer(looked).caveats
    assert told == looked.peeked
    assert "looked at with 6 seeds before it became 8" in told


def test_a_norm_that_left_the_race_is_told_with_its_seeds(tmp_path, digits):
    def script(run):
        if run.norm == "none":
            return None if run.seed >= 8 else learns(run)
        end = 0.8 + 10 * noise(run.norm, run.seed)
        return finishes({0: 0.1, 5: end - 0.1, 12: end}, test=end)

    found = made(tmp_path, digits, script, NORMS, "seeds=12")
    runs = found.results.runs
    config = {**found.results.config, "seeds": {"from": 8, "to": 12, "step": 4}}
    raced = replace(found.results, runs=runs[runs["state"] != "missing"], config=config)
    told = answer(ExperimentResult(raced))
    (taken,) = [text for text in told.sentences if text.startswith("Seeds that each took: ")]
    assert "“none” 8" in taken
    assert "batch 12" in taken


def test_a_run_in_two_roles_is_counted_once(tmp_path, digits):
    def script(run):
        return fails() if run.seed else finishes({0: 0.1, 12: 0.7})

    found = made(tmp_path, digits, script)
    runs = found.results.runs
    twice = pd.concat([runs, runs.assign(role="best", tuned=0.1)], ignore_index=True)
    (told,) = caveats(ExperimentResult(replace(found.results, runs=twice)))
    assert told.startswith("2 of 4 runs have no result (2 failed)")


def test_unequal_terms_are_the_first_caveat(tmp_path, digits):
    def script(run):
        curve = {0: 0.1, 12: 0.7}
        return finishes(curve, backbone="other" if run.norm == "rms" else "same")

    found = made(tmp_path, digits, script, NORMS, "seeds=2")
    assert caveats(found)[0].startswith("The norms were not compared on equal terms")


def test_the_verdict_of_json_is_the_answer(tmp_path, digits):
    comparison = made(tmp_path, digits, vanishing, NORMS, "seeds=8", *DEEP)
    found = answer(comparison)
    whole = to_dict(comparison, found)
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole
    verdict = whole["verdict"]
    assert verdict["metric"] == "auc"
    assert verdict["similar_within"] == 0.01
    assert verdict["best_set"] == ["batch"]
    assert verdict["leader"] == "batch"
    assert verdict["sentences"] == list(found.sentences)
    assert [row["norm"] for row in verdict["norms"]] == ["batch", "layer", "rms", "none"]
    assert verdict["norms"][0]["ci_low"] is None
    assert verdict["norms"][3]["at_chance"] == 8
    words = {(row["metric"], row["verdict"]) for row in whole["comparisons"]}
    assert {word for metric, word in words if metric == "auc"} == {"better"}
    assert {word for metric, word in words if metric != "auc"} == {None}
