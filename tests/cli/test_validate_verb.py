"""normbench validate: a sentence, an object, or nothing."""

from __future__ import annotations

import json

import pytest


def test_json_tells_what_would_run(cli, config):
    done = cli("validate", config, "--sweep", "optimizer.lr=0.1,0.2", "--json")
    found = json.loads(done.out)
    (note,) = found.pop("notes")
    assert found == {
        "schema": 1,
        "config": str(config),
        "experiment": "tiny",
        "runs": 8,
        "norms": ["none", "batch"],
        "seeds": [0, 1],
    }
    assert "2 seeds can give no verdict" in note


def test_quiet_says_nothing_of_a_config_that_is_right(cli, config):
    assert cli("validate", config, "-q") == (0, "", "")
    assert cli("validate", config, "-q", "--set", "seeds=0").code == 2


@pytest.mark.parametrize("verb", [("validate",), ("train", "--dry-run")], ids=" ".join)
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("data.batch_size=1338", "data.batch_size: must be at most 1337"),
        ("data.validation=1430", "data.validation: a validation set of 1430 is too large"),
        ("data.validation=5", "data.validation: a validation set of 5 is smaller than the 10"),
        ("optimizer.warmup_steps=12", "optimizer.warmup_steps: must be below the 12 steps"),
    ],
)
def test_what_the_data_cannot_serve_is_a_mistake_of_the_config(cli, config, verb, wrong, told):
    word, *options = verb
    done = cli(word, config, *options, "--set", wrong)
    assert (done.code, done.out) == (2, "")
    assert told in done.err


@pytest.mark.parametrize("verb", [("validate",), ("train", "--dry-run")], ids=" ".join)
def test_what_is_hardly_meant_is_a_note(cli, config, verb):
    word, *options = verb
    rare = ["--set", "training.evaluate_every=13", "--set", "norms=[batch]"]
    done = cli(word, config, *options, *rare)
    assert done.code == 0
    assert "note: batch alone is compared with nothing" in done.err
    assert "note: with an evaluation every 13 steps and a budget of 12 steps only" in done.err


def test_a_budget_in_epochs_is_measured_on_the_data_at_hand(cli, config):
    short = "training={epochs: 1, evaluate_every: 100}"
    assert "a budget of 41 steps" in cli("validate", config, "--set", short).err
    notes = json.loads(cli("validate", config, "--set", short, "--json").out)["notes"]
    assert any("a budget of 41 steps" in note for note in notes)


@pytest.mark.parametrize("verb", [("validate",), ("train", "--dry-run")], ids=" ".join)
def test_a_folder_that_is_missing_is_an_error_of_the_data(cli, config, verb, tmp_path):
    word, *options = verb
    folder = "data={dataset: folder, path: nowhere, validation: 20}"
    done = cli(word, config, *options, "--set", folder)
    assert (done.code, done.out) == (3, "")
    assert f"{tmp_path / 'nowhere'} does not exist" in done.err
    (tmp_path / "nowhere").mkdir()
    assert "holds no images in class folders" in cli(word, config, *options, "--set", folder).err


def test_a_dataset_that_is_not_here_is_not_fetched(cli, config, tmp_path, monkeypatch):
    def fetched(*_, **__):
        raise AssertionError("validate downloads nothing")

    monkeypatch.setattr("normbench.data.prepared._fetch", fetched)
    empty = tmp_path / "empty"
    done = cli("validate", config, "--set", "data={dataset: mnist}", "--data-dir", empty)
    assert done.code == 0
    assert "note: mnist is not prepared yet" in done.err
    assert not empty.exists()
