"""The statements about training, on made-up experiments: the verdict turns with the results."""

from __future__ import annotations

import pytest
from made_up import NEVER, Fate, Story, context

from normbench.data import Dataset
from normbench.plan import PlannedRun
from normbench.claims import CLAIMS, Finding, Verdict

SUPPORTED, REFUTED, DEPENDS, OPEN = Verdict
VANISHING = {"std": (1.0, 0.5, 0.25, 0.12), "gradient": (0.01, 0.1, 0.5, 1.0)}


def examine(name: str, dataset: Dataset, story: Story, *overrides: str) -> Finding:
    return CLAIMS[name].examine(context(dataset, story, *overrides))


def by_norm(**reaches: int) -> Story:
    """Steps to the target by norm; a rate above the shared one fails without a norm."""

    def story(run: PlannedRun) -> Fate:
        rate = run.config.optimizer.lr
        limit = 0.1 if run.norm == "none" else 1.0
        return Fate(reaches[run.norm] if rate <= limit else NEVER)

    return story


GOOD = by_norm(none=90, batch=20, layer=30, rms=30)
BAD = by_norm(none=20, batch=NEVER, layer=NEVER, rms=NEVER)


@pytest.mark.parametrize("name", ["batch-training", "layer-training"])
def test_a_norm_that_helps_is_supported(digits: Dataset, name: str):
    found = examine(name, digits, GOOD)
    assert found.verdict is SUPPORTED
    assert found.numbers["shared"]["verdict"] == "better"
    assert found.numbers["largest_rate"] == 1.0
    assert found.numbers["largest_rate_none"] == 0.1


@pytest.mark.parametrize("name", ["batch-training", "layer-training"])
def test_the_verdict_turns_where_the_norm_loses(digits: Dataset, name: str):
    assert examine(name, digits, BAD).verdict is REFUTED


def test_too_few_seeds_are_not_enough_evidence(digits: Dataset):
    found = examine("batch-training", digits, GOOD, "seeds=3")
    assert found.verdict is OPEN
    assert "too few seeds" in found.numbers["shared"]["verdict"]


def test_the_command_names_the_experiment_and_every_override(digits: Dataset):
    (command,) = examine("batch-training", digits, GOOD, "model.depth=6").commands
    assert command.startswith("normbench train made-up.yaml --set model.depth=6 --set ")
    assert "--set 'tune={optimizer.lr: [0.01, 0.03, 0.1, " in command
    assert command.endswith("--set name=made-up-claims && normbench compare made-up-claims")


def test_a_deep_network_without_a_norm_that_fails_supports_the_first_statement(digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        return Fate(NEVER, **VANISHING) if run.norm == "none" else Fate(30)

    found = examine("activations", digits, story)
    assert found.verdict is SUPPORTED
    assert [one["depth"] for one in found.numbers["depths"]] == [4, 8, 16]
    assert found.numbers["depths"][0]["signal"] == "vanishes"


def test_a_network_that_trains_though_its_activations_vary_makes_it_depend(digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        return Fate(20, std=VANISHING["std"]) if run.norm == "none" else Fate(60)

    assert examine("activations", digits, story).verdict is DEPENDS


def test_a_network_that_needs_no_norm_refutes_the_first_statement(digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        return Fate(20) if run.norm == "none" else Fate(NEVER, diverged_at=60)

    assert examine("activations", digits, story).verdict is REFUTED


def losing_at(*sizes: int, control: tuple[int, ...] = ()) -> Story:
    def story(run: PlannedRun) -> Fate:
        lost = sizes if run.norm == "batch" else control
        return Fate(20, final=0.5 if run.config.data.batch_size in lost else None)

    return story


def test_batch_norm_that_loses_at_the_smallest_batches_is_robust(digits: Dataset):
    found = examine("batch-size", digits, losing_at(2, 4))
    assert found.verdict is SUPPORTED
    assert found.numbers["smallest_size_without_loss"] == 8
    assert found.numbers["batch"][0]["verdict"] == "worse"
    assert found.numbers["layer"][0]["verdict"] != "worse"


def test_batch_norm_that_loses_at_once_is_not_robust(digits: Dataset):
    every = (2, 4, 8, 16)
    assert examine("batch-size", digits, losing_at(*every)).verdict is DEPENDS
    found = examine("batch-size", digits, losing_at(*every, control=every))
    assert found.verdict is REFUTED


def test_without_a_smaller_batch_nothing_can_be_said(digits: Dataset):
    assert examine("batch-size", digits, losing_at(), "data.batch_size=2").verdict is OPEN


@pytest.mark.parametrize(
    ("batch", "layer", "verdict"), [(20, 80, SUPPORTED), (NEVER, 30, REFUTED), (30, 30, OPEN)]
)
def test_layer_norm_in_depth(digits: Dataset, batch: int, layer: int, verdict: Verdict):
    def story(run: PlannedRun) -> Fate:
        deep = run.config.model.depth > 4
        return Fate({"batch": batch, "layer": layer}.get(run.norm, NEVER) if deep else 20)

    assert examine("layer-in-depth", digits, story).verdict is verdict


def test_the_best_choice_that_changes_with_the_depth_depends_on_the_model(digits: Dataset):
    def story(run: PlannedRun) -> Fate:
        first, second = ("layer", "batch") if run.config.model.depth > 4 else ("batch", "layer")
        return Fate({first: 10, second: 40}.get(run.norm, 80))

    found = examine("choice", digits, story)
    assert found.verdict is SUPPORTED
    assert found.numbers["situations"]["as configured"]["favourites"] == ["batch"]
    assert found.numbers["situations"]["depth 16"]["favourites"] == ["layer"]
    assert found.numbers["reversals"][0][:2] == ["batch", "layer"]


def test_one_norm_that_is_best_everywhere_refutes_it(digits: Dataset):
    story = by_norm(none=90, batch=10, layer=40, rms=60)
    assert examine("choice", digits, story).verdict is REFUTED
