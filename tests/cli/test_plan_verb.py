"""normbench plan: how many seeds a difference needs."""

from __future__ import annotations

import json

import pytest
from scripted import finishes, play
from tiny import experiment

from normbench.analysis.power import power_at
from normbench.cli.plan import parse_effect
from normbench.errors import ConfigError
from normbench.plan import PlannedRun
from normbench.seeding import stream


@pytest.mark.parametrize(
    ("text", "metric", "size"),
    [
        ("0.5pp", "auc", (0.005, "unit")),
        ("2 %", "val_accuracy", (0.02, "unit")),
        ("0.02", "test_accuracy", (0.02, "unit")),
        ("50 steps", "steps_to_target", (50.0, "unit")),
        ("50", "steps_to_target", (50.0, "unit")),
        ("1.5sd", "steps_to_target", (1.5, "sd")),
    ],
)
def test_an_effect_is_a_number_in_the_metrics_unit_or_in_sd(text, metric, size):
    assert parse_effect(text, metric) == pytest.approx(size)


@pytest.mark.parametrize(
    ("text", "metric"),
    [
        ("much", "auc"), ("-1", "auc"), ("0", "auc"), ("50steps", "auc"), ("2", "auc"),
        ("1pp", "steps_to_target"), ("", "auc"), ("1e999", "steps"),
    ],
)  # fmt: skip
def test_what_is_no_effect_is_refused(text, metric):
    with pytest.raises(ConfigError, match="effect"):
        parse_effect(text, metric)


def test_in_sd_it_needs_no_runs(cli, config):
    found = json.loads(cli("plan", config, "--effect", "1sd", "--json").out)
    assert power_at(1.0, found["seeds"], 1) >= 0.8 > power_at(1.0, found["seeds"] - 1, 1)
    assert f"{found['seeds']} seeds find a difference of 1 sd" in cli("plan", config).out


def test_without_runs_the_unit_cannot_be_turned_into_sd(cli, config, tmp_path):
    done = cli("plan", config, "--effect", "0.5pp")
    assert done.code == 0
    assert "no runs of tiny tell yet" in done.out
    assert not (tmp_path / "results").exists()


def test_with_runs_the_spread_is_theirs(cli, config, tmp_path, digits):
    def script(run: PlannedRun):
        noise = float(stream(run.seed, run.norm).normal(0, 0.05))
        return finishes({0: 0.1, 12: 0.5 + noise})

    play(tmp_path / "results", experiment("seeds=20"), digits, script)
    done = cli("plan", config, "--set", "seeds=3", "--effect", "1pp", "--json")
    (row,) = json.loads(done.out)["rows"]
    # Half of the last accuracy is area; of a difference of two the sd is sqrt 2 times as large.
    assert (row["norm"], row["pairs"]) == ("batch", 20)
    assert row["sd"] == pytest.approx(0.05 / 2**0.5, rel=0.4)
    assert power_at(0.01 / row["sd"], row["seeds"], 1) >= 0.8
    assert "percentage points" in cli(
        "plan", config, "--effect", "1pp", "--set", "verdict.metric=val_accuracy"
    ).out  # fmt: skip


def test_a_dry_run_and_validate_say_what_the_seeds_can_find(cli, config, tmp_path, digits):
    told = cli("validate", config, "--set", "seeds=12").err
    assert "12 seeds find a difference of" in told
    assert "sd of the paired difference" in told
    play(
        tmp_path / "results",
        experiment("seeds=4"),
        digits,
        lambda run: finishes({0: 0.1, 12: 0.5 + float(stream(run.seed, run.norm).random()) / 10}),
    )
    out = " ".join(cli("train", config, "--dry-run", "--set", "seeds=12").out.split())
    assert "of the area under the validation curve" in out


def test_a_dry_run_of_seeds_in_steps_tells_that_more_may_follow(cli, config):
    out = " ".join(cli("train", config, "--dry-run", "--set", "seeds=auto").out.split())
    assert "16 of 16 runs to train" in out
    assert "and up to 32 seeds" in out
