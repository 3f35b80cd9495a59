"""The statements about training, on made-up experiments: the verdict turns with the results."""

from __future__ import annotations

from typing import Any

import pytest
from made_up import NEVER, Fate, Story, context

from normbench.claims import CLAIMS, Evidence, Verdict
from normbench.data import Dataset
from normbench.plan import PlannedRun

SUPPORTED, REFUTED, DEPENDS, OPEN = Verdict
VANISHING: dict[str, Any] = {"std": (1.0, 0.5, 0.25, 0.12), "gradient": (0.01, 0.1, 0.5, 1.0)}
HE = "he_normal"


def examine(name: str, dataset: Dataset, story: Story, *overrides: str) -> Evidence:
    return CLAIMS[name].examine(context(dataset, story, *overrides))


def holds(found: Evidence, **values: Any) -> set[bool | None]:
    """What the pieces say that have these values."""
    return {
        piece.holds
        for piece in found.judgement.pieces
        if all(piece.value(factor) == value for factor, value in values.items())
    }


def by_norm(**reaches: int) -> Story:
    """Steps to the target by norm; a rate above the shared one fails without a norm."""

    def story(run: PlannedRun) -> Fate:
        rate = run.config.optimizer.lr
        limit = 0.1 if run.norm == "none" else 1.0
        return Fate(reaches[run.norm] if rate <= limit else NEVER)

    return story


def only_under(init: str, good: Story, other: Story) -> Story:
    return lambda run: (good if run.config.model.init == init else other)(run)


GOOD = by_norm(none=NEVER, batch=20, layer=30, rms=30)
BAD = by_norm(none=20, batch=NEVER, layer=NEVER, rms=NEVER)
EQUAL: Story = lambda run: Fate(30)  # noqa: E731
TRAINED = ["batch-training", "layer-training", "rms-training", "layer-speed"]


@pytest.mark.parametrize("name", TRAINED)
def test_a_norm_that_helps_everywhere_is_supported(name: str, digits: Dataset):
    found = examine(name, digits, GOOD)
    assert found.verdict is SUPPORTED
    assert {piece.situation["init"] for piece in found.judgement.pieces} == {"torch_default", HE}


@pytest.mark.parametrize("name", TRAINED)
def test_the_verdict_turns_where_the_norm_loses(name: str, digits: Dataset):
    assert examine(name, digits, BAD).verdict is REFUTED


@pytest.mark.parametrize("name", TRAINED)
def test_a_norm_that_helps_under_one_initialization_depends_on_it(name: str, digits: Dataset):
    found = examine(name, digits, only_under("torch_default", GOOD, BAD))
    assert found.verdict is DEPENDS
    assert found.judgement.depends_on == ("init",)
    assert "holds torch_default; fails he_normal" in found.judgement.words


def test_a_norm_that_helps_at_the_shared_rate_alone_depends_on_the_rate(digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        slow = run.norm == "none" and run.config.optimizer.lr == 0.1
        return Fate(NEVER if slow else 20)

    found = examine("layer-speed", digits, story)
    assert found.verdict is DEPENDS
    assert found.judgement.depends_on == ("rate",)


def test_too_few_seeds_are_not_enough_evidence(digits: Dataset):
    found = examine("batch-training", digits, GOOD, "seeds=3")
    assert found.verdict is OPEN
    assert "too few seeds (needs 9)" in found.sentences[0]


def test_all_comparisons_of_a_statement_are_one_family(digits: Dataset):
    found = examine("batch-training", digits, EQUAL)
    numbers = [piece.numbers for piece in found.judgement.pieces]
    smallest = min(numbers, key=lambda one: one["p_value"])
    assert len(numbers) == 10
    assert smallest["p_adjusted"] == pytest.approx(min(1, 10 * smallest["p_value"]))


def test_the_command_names_the_experiment_and_every_override(digits: Dataset):
    (command,) = examine("batch-training", digits, GOOD, "model.depth=6").commands
    assert command.startswith("normbench train made-up.yaml --set model.depth=6 --set ")
    assert "--set 'tune={optimizer.lr: [0.03, 0.1, " in command
    assert "--set 'sweep={model.init: [torch_default, he_normal]}'" in command
    assert command.endswith("--set name=made-up-claims && normbench compare made-up-claims")


# -- statement 1 ----------------------------------------------------------------------------------


def deep(run: PlannedRun) -> Fate:
    return Fate(NEVER, **VANISHING) if run.norm == "none" else Fate(30)


def test_a_network_without_a_norm_that_fails_everywhere_supports_the_first_statement(
    digits: Dataset,
):
    found = examine("activations", digits, deep)
    assert found.verdict is SUPPORTED
    assert holds(found, part="gradients vanish") == {True}


def test_a_network_that_fails_under_one_initialization_alone_makes_it_depend(digits: Dataset):
    found = examine("activations", digits, only_under("torch_default", deep, lambda _: Fate(20)))
    assert found.verdict is DEPENDS
    assert found.judgement.depends_on == ("init",)
    assert holds(found, init=HE) <= {False, None}


def test_a_network_that_needs_no_norm_refutes_the_first_statement(digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        return Fate(20) if run.norm == "none" else Fate(NEVER, diverged_at=60)

    assert examine("activations", digits, story).verdict is REFUTED


# -- statement 4 ----------------------------------------------------------------------------------


def losing_at(*sizes: int, control: tuple[int, ...] = (), budget: str = "both") -> Story:
    def story(run: PlannedRun) -> Fate:
        lost = sizes if run.norm == "batch" else control
        here = budget == "both" or (run.config.training.steps is None) == (budget == "images")
        final = 0.5 if here and run.config.data.batch_size in lost else None
        return Fate(20, final=final, precise=0.9 if final else None)

    return story


def test_batch_norm_that_loses_at_the_smallest_batches_alone_is_robust(digits: Dataset):
    found = examine("batch-size", digits, losing_at(2, 4))
    assert found.verdict is SUPPORTED
    assert found.judgement.fixed["init"] == "torch_default"
    alone = found.numbers["equal images"]["evaluation_alone"]
    assert alone[2] == pytest.approx(0.4, abs=0.02)
    assert alone[32] == pytest.approx(0, abs=0.02)


def test_a_loss_that_the_control_has_too_is_not_batch_norms(digits: Dataset):
    found = examine("batch-size", digits, losing_at(2, 4, control=(2, 4)))
    assert holds(found, part="depends on the batch size") == {False}


def test_batch_norm_that_loses_at_once_is_not_robust(digits: Dataset):
    found = examine("batch-size", digits, losing_at(2, 4, 8, 16))
    assert found.verdict is DEPENDS
    assert holds(found, part="robust") == {False}


def test_a_loss_with_equal_images_alone_names_the_budget(digits: Dataset):
    found = examine("batch-size", digits, losing_at(8, 16, budget="images"))
    assert holds(found, part="robust", budget="equal images") == {False}
    assert holds(found, part="robust", budget="equal updates") == {True}


def test_without_a_smaller_batch_nothing_can_be_said(digits: Dataset):
    assert examine("batch-size", digits, losing_at(), "data.batch_size=2").verdict is OPEN


# -- statement 7 ----------------------------------------------------------------------------------


def at_depth(batch: int, layer: int) -> Story:
    def story(run: PlannedRun) -> Fate:
        deep = run.config.model.depth > 4
        return Fate({"batch": batch, "layer": layer}.get(run.norm, NEVER) if deep else 20)

    return story


@pytest.mark.parametrize(
    ("batch", "layer", "verdict"),
    [(20, 80, SUPPORTED), (NEVER, 30, REFUTED), (30, 30, REFUTED), (NEVER, NEVER, OPEN)],
)
def test_layer_norm_in_depth(batch: int, layer: int, verdict: Verdict, digits: Dataset):
    assert examine("layer-in-depth", digits, at_depth(batch, layer)).verdict is verdict


def test_what_layer_norm_loses_at_the_shared_rate_alone_does_not_count(digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        slow = run.norm == "layer" and run.config.optimizer.lr == 0.1
        return Fate(NEVER if slow else 20)

    assert examine("layer-in-depth", digits, story).verdict is REFUTED


def test_a_depth_at_which_one_is_better_and_another_at_which_it_is_worse(digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        first = {8: "batch", 16: "layer"}.get(run.config.model.depth)
        return Fate(20 if run.norm == first else 60)

    found = examine("layer-in-depth", digits, story)
    assert found.verdict is DEPENDS
    assert found.judgement.depends_on == ("depth",)
    assert "holds depth 8; fails depth 16" in found.judgement.words


# -- statement 11 ---------------------------------------------------------------------------------


def test_the_best_choice_that_changes_with_the_depth_depends_on_the_model(digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        first, second = ("layer", "batch") if run.config.model.depth > 4 else ("batch", "layer")
        return Fate({first: 10, second: 40}.get(run.norm, 80))

    found = examine("choice", digits, story)
    assert found.verdict is SUPPORTED
    assert found.numbers["reversals"][0][:2] == ["batch", "layer"]


def test_one_norm_that_is_best_everywhere_refutes_it(digits: Dataset):
    story = by_norm(none=90, batch=10, layer=40, rms=60)
    assert examine("choice", digits, story).verdict is REFUTED


def test_where_neither_trains_there_is_no_choice(digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        if run.config.model.depth == 16:  # neither trains, and layer norm a little less badly
            return Fate(NEVER, final=0.32 if run.norm == "layer" else 0.3)
        return Fate({"batch": 10, "layer": 40}.get(run.norm, 80))

    found = examine("choice", digits, story)
    assert found.verdict is REFUTED
    assert not any("depth 16" in place for place in found.numbers["situations"])


def test_a_few_seeds_decide_nothing_about_the_choice(digits: Dataset):
    story = by_norm(none=90, batch=10, layer=40, rms=60)
    assert examine("choice", digits, story, "seeds=3").verdict is OPEN


# -- RMS norm, and the mechanism ------------------------------------------------------------------


@pytest.mark.parametrize(("rms", "verdict"), [(30, SUPPORTED), (20, SUPPORTED), (60, REFUTED)])
def test_rms_norm_against_layer_norm(rms: int, verdict: Verdict, digits: Dataset):
    story = by_norm(none=NEVER, batch=20, layer=30, rms=rms)
    assert examine("rms-as-layer", digits, story).verdict is verdict


def rates_up_to(batch: float, none: float) -> Story:
    def story(run: PlannedRun) -> Fate:
        limit = batch if run.norm == "batch" else none
        return Fate(30 if run.config.optimizer.lr <= limit else NEVER)

    return story


@pytest.mark.parametrize(
    ("batch", "none", "verdict"),
    [(1.0, 0.1, SUPPORTED), (0.1, 1.0, REFUTED), (1.0, 0.0, SUPPORTED), (1.0, 1.0, OPEN)],
)
def test_larger_rates(batch: float, none: float, verdict: Verdict, digits: Dataset):
    assert examine("larger-rates", digits, rates_up_to(batch, none)).verdict is verdict


def test_a_norm_hides_the_initialization_where_none_does_not(digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        fails = run.norm == "none" and run.config.model.init == "torch_default"
        return Fate(NEVER if fails else 30)

    assert examine("initialization", digits, story).verdict is SUPPORTED
    assert examine("initialization", digits, EQUAL).verdict is REFUTED


@pytest.mark.parametrize(("train", "verdict"), [(0.96, SUPPORTED), (1.0, REFUTED)])
def test_the_gap_between_training_and_test_accuracy(
    train: float, verdict: Verdict, digits: Dataset
):
    def story(run: PlannedRun) -> Fate:
        return Fate(20, train=train if run.norm == "batch" else 0.98)

    assert examine("batch-noise", digits, story).verdict is verdict


@pytest.mark.parametrize(("last", "verdict"), [(1.1, SUPPORTED), (9.0, REFUTED), (30.0, REFUTED)])
def test_examples_that_become_alike(last: float, verdict: Verdict, digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        return Fate(20, rank=(9.0, 9.0, 9.0, last if run.norm == "layer" else 9.0))

    assert examine("likeness", digits, story).verdict is verdict
