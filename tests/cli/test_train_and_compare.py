"""``normbench train`` and ``compare`` from the outside: what they print, and what it is worth."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from contract import NORMS, check_contract, parsed
from scripted import finishes, play
from tiny import experiment, journals, logits_by_hand, pixels

import normbench
from normbench.config import RunConfig
from normbench.data import split
from normbench.seeding import stream


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits) -> Path:
    """Results of a small experiment."""
    results = tmp_path_factory.mktemp("trained")
    normbench.train(experiment(f"norms=[{', '.join(NORMS)}]"), results=results, jobs=1)
    return results


def test_the_json_fits_the_contract(cli, trained):
    done = cli("compare", "tiny", "--results", trained, "--json")
    assert (done.code, done.err) == (0, "")
    found = check_contract(done.out, NORMS)
    assert found["baseline"] == "none"
    assert [row["runs"] for row in found["convergence"]] == [2] * 4
    assert {row["step"] for row in found["gradients"]} == {0, 11}
    assert {row["pairs"] for row in found["comparisons"]} == {2}
    assert len(found["comparisons"]) == 3 * 4


def test_train_prints_the_same_object_as_compare(cli, config, trained, tmp_path):
    first = cli("train", config, "-q", "-j", "1", "--json", "--set", "seeds=1")
    assert first.code == 0
    assert first.err == ""
    assert first.out.count("\n") == 1
    check_contract(first.out, ["none", "batch"])
    assert cli("compare", "tiny", "--json").out == first.out


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_val_accuracy_mean_is_what_an_evaluation_of_the_stored_checkpoints_gives(
    cli, trained, digits
):
    found = parsed(cli("compare", "tiny", "--results", trained, "--json").out)
    for row in found["convergence"]:
        validated, tested = [], []
        for path in sorted((trained / "tiny").glob(f"{row['norm']}-s*")):
            config = RunConfig.model_validate(yaml.safe_load((path / "config.yaml").read_text()))
            saved = torch.load(path / "checkpoint.pt", weights_only=True)
            _, validation = split(
                digits.train_labels, config.data.validation, stream(config.seed, "split")
            )
            for images, labels, into in (
                (digits.train_images[validation], digits.train_labels[validation], validated),
                (digits.test_images, digits.test_labels, tested),
            ):
                logits = logits_by_hand(saved["network"], pixels(digits, images), row["norm"])
                into.append(np.mean(logits.argmax(1) == labels))
        assert row["val_accuracy_mean"] == pytest.approx(np.mean(validated), abs=1e-6)
        assert row["val_accuracy_std"] == pytest.approx(np.std(validated, ddof=1), abs=1e-6)
        assert row["test_accuracy_mean"] == pytest.approx(np.mean(tested), abs=1e-6)


def test_the_convergence_row_is_what_the_journals_say(cli, trained):
    found = parsed(cli("compare", "tiny", "--results", trained, "--json").out)
    for row in found["convergence"]:
        first, best = [], []
        for path in sorted((trained / "tiny").glob(f"{row['norm']}-s*")):
            curve = [(e["step"], e["val_accuracy"]) for e in rows_of(path) if e["event"] == "eval"]
            first.append(next((step for step, a in curve if a >= 0.5), math.inf))
            best.append(max(a for _, a in curve))
        median = float(np.median(first))
        assert row["reached"] == sum(map(math.isfinite, first))
        assert row["steps_to_target"] == (median if math.isfinite(median) else None)
        assert row["best_val_accuracy_mean"] == pytest.approx(np.mean(best))


def test_the_gradient_row_is_what_the_probes_say(cli, trained):
    found = parsed(cli("compare", "tiny", "--results", trained, "--json").out)
    for row in found["gradients"]:
        lines = []
        for path in sorted((trained / "tiny").glob(f"{row['norm']}-s*")):
            probes = [json.loads(x) for x in (path / "probes.jsonl").read_text().splitlines()]
            lines += [probe for probe in probes if probe["step"] == row["step"]]
        gradient = np.array([line["activation_gradient"] for line in lines])
        assert row["first_layer_grad_norm"] == pytest.approx(np.median(gradient[:, 0]))
        assert row["last_layer_grad_norm"] == pytest.approx(np.median(gradient[:, -1]))
        assert row["dead_units"] == pytest.approx(np.mean([line["dead_units"] for line in lines]))


def test_the_tables_go_to_stdout_and_carry_no_control_codes(cli, config):
    done = cli("train", config, "--set", "seeds=1", "--jobs", "1")
    assert done.code == 0
    assert "\x1b" not in done.out + done.err
    assert "\r" not in done.out + done.err
    assert "tiny: convergence" not in done.out
    assert done.out.count("to leader") + done.out.count("leader\n") >= 1
    assert f"results: {Path('results/tiny')}" in done.out
    assert "next: normbench compare tiny --full" in done.out
    told = " ".join(done.out.split())
    assert re.search(r"backbones and batch orders .*identical across norms \(2 runs", told)
    assert done.err.startswith("tiny: mlp (depth 3, width 16, activation relu, init ")
    assert "none, batch x 1 seed: 2 runs -> results/tiny" in done.err
    assert "finished, step 12" in done.err


def test_the_same_command_again_trains_nothing_and_prints_the_same(cli, config, tmp_path):
    first = cli("train", config, "-q", "-j", "1", "--set", "seeds=1")
    before = journals(tmp_path / "results" / "tiny")
    checkpoints = {p: p.stat().st_mtime_ns for p in tmp_path.glob("results/*/*/checkpoint.pt")}
    again = cli("train", config, "--set", "seeds=1")
    assert (again.code, again.out) == (0, first.out)
    assert "2 runs were done before, 0 to train" in again.err
    assert {p: p.stat().st_mtime_ns for p in checkpoints} == checkpoints
    assert cli("train", config, "-q", "-j", "1", "--set", "seeds=1", "--fresh", "--yes").code == 0
    assert all(p.stat().st_mtime_ns > then for p, then in checkpoints.items())
    assert journals(tmp_path / "results" / "tiny") == before


def test_before_training_it_is_told_how_long_the_runs_that_are_left_take(cli, config):
    assert "for 4 runs, 1 at a time" in cli("train", config, "-j", "1").err
    assert "1 at a time" not in cli("train", config, "-j", "1").err
    more = cli("train", config, "-j", "1", "--set", "seeds=3").err
    assert "for 2 runs, 1 at a time" in more
    fresh = cli("train", config, "-j", "1", "--fresh", "--yes", "-q").err
    assert "at a time" not in fresh


def test_more_seeds_train_only_what_is_new(cli, config, tmp_path):
    shared = ("train", config, "--jobs", "1", "--set", "norms=[none]")
    cli(*shared, "--set", "seeds=1")
    done = cli(*shared, "--set", "seeds=2")
    assert "1 runs were done before, 1 to train" in done.err


def test_a_target_reached_to_the_last_bit_is_reached(cli, tmp_path, digits):
    curve = {0: 0.1, 5: 90 / 100, 12: 0.5}
    wanted = experiment("target={val_accuracy: 0.9}", "norms=[none]", "seeds=1")
    play(tmp_path / "results", wanted, digits, lambda _: finishes(curve))
    (row,) = parsed(cli("compare", "tiny", "--json").out)["convergence"]
    assert (row["reached"], row["steps_to_target"]) == (1, 5)


# --- tables of experiments where everything happened ---
