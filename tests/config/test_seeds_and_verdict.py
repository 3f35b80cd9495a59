"""Seeds that come in steps, and the metric that is judged: as written, resolved, and wrong."""

from __future__ import annotations

import pytest
from tiny import experiment

from normbench.config import ExperimentConfig
from normbench.errors import ConfigError


def test_auto_is_short_for_looks_from_8_to_32_seeds():
    assert experiment("seeds=auto") == experiment("seeds={from: 8, to: 32, step: 4}")
    wanted = experiment("seeds={from: 4, to: 9}")
    assert (wanted.first_seeds, wanted.seed_list) == ([0, 1, 2, 3], list(range(9)))
    assert wanted.resolved()["seeds"] == {"from": 4, "to": 9, "step": 4}
    assert ExperimentConfig.model_validate(wanted.resolved()) == wanted


def test_tuning_and_pilot_seeds_come_after_every_seed_that_may_be_raced():
    tune = "tune={optimizer.lr: [0.1, 0.2]}"
    wanted = experiment("seeds=auto", tune, "target={from: batch}")
    assert wanted.tune_seeds == wanted.pilot_seeds == [32, 33, 34]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seeds=many", "must be a number of seeds, a list of them or auto, got 'many'"),
        ("seeds={from: 9, to: 9}", "seeds.to: must be more than the 9 seeds of the first look"),
        ("seeds={from: 9, too: 20}", "seeds.too: unknown key 'too'\n    did you mean 'to'"),
        ("seeds={from: 1}", "seeds.from: must be at least 2, got 1"),
        ("seeds={step: 1}", "seeds.step: more than 20 looks"),
        ("seeds={from: eight}", "seeds.from: must be a whole number, got 'eight'"),
        ("tune={optimizer.lr: [1], seeds: auto}", "tune.seeds: must be a whole number or a list"),
        ("tune={optimizer.lr: [1], seeds: 2}", "tune.seeds: needs 3 tuning seeds or more, got 2"),
        ("verdict.metric=acc", "must be 'auc', 'steps_to_target', 'val_accuracy' or"),
        ("verdict.similar_within=0", "verdict.similar_within: must be a number above 0, got 0"),
        ("verdict.similar_within=1", "one percentage point is 0.01"),
        ("verdict.margin=1", "verdict.margin: unknown key 'margin'"),
    ],
)
def test_a_mistake_is_told_with_its_place(text: str, told: str):
    with pytest.raises(ConfigError) as caught:
        experiment(text)
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"--set {text}")


def test_one_norm_alone_has_nothing_to_race_against():
    with pytest.raises(ConfigError, match="there is only one"):
        experiment("norms=[batch]", "seeds=auto")


@pytest.mark.parametrize(
    ("metric", "margin"),
    [("auc", 0.01), ("val_accuracy", 0.01), ("test_accuracy", 0.01), ("steps_to_target", 0.1)],
)
def test_every_metric_has_a_margin_of_its_own(metric: str, margin: float):
    from normbench.analysis.rule import MARGINS, VerdictRule

    resolved = experiment(f"verdict.metric={metric}").resolved()["verdict"]
    assert resolved == {"metric": metric, "similar_within": margin}
    assert VerdictRule.of(resolved) == VerdictRule(metric, margin)
    assert MARGINS[metric] == margin


def test_what_is_judged_and_how_many_seeds_is_no_part_of_a_runs_identity():
    plain = experiment().run({}, "batch", 0).identity()
    other = experiment("verdict.metric=val_accuracy", "seeds=auto").run({}, "batch", 0)
    assert other.identity() == plain


@pytest.mark.parametrize(("text", "given"), [("auto", "auto"), ("{to: 16}", {"to": 16}), ("8", 8)])
def test_seeds_in_steps_are_given_as_they_were_written(text, given):
    assert experiment(f"seeds={text}").given()["seeds"] == given
