"""Where ``data.validation`` is a share, it is no number of images."""

from __future__ import annotations

import json

import pytest
from scripted import reseal
from tiny import experiment

import normbench
from normbench.data import prepare


@pytest.mark.parametrize(("validation", "images"), [("100", 100), ("0.1", 144)])
def test_what_learned_is_not_at_chance_whatever_the_validation_is_given_as(
    tmp_path, digits, validation, images
):
    config = experiment(f"data.validation={validation}", "target={val_accuracy: 0.9}")
    result = normbench.train(config, results=tmp_path, jobs=1)
    assert set(result.results.runs["validation_images"]) == {images}
    outcomes = result.reported.outcomes
    assert (outcomes["val_accuracy"] > 0.3).any()
    learned = outcomes["val_accuracy"] > 0.3
    assert not outcomes.loc[learned, "at_chance"].any()


def test_runs_that_do_not_say_how_many_take_the_configs_number_but_no_share(tmp_path, digits):
    for name, validation, known in (("number", "100", 100), ("share", "0.1", None)):
        config = experiment(f"name={name}", f"data.validation={validation}", "seeds=1")
        normbench.train(config, results=tmp_path, jobs=1)
        for path in (tmp_path / name).glob("*/manifest.json"):
            manifest = json.loads(path.read_text())
            assert manifest.pop("validation_images")
            path.write_text(json.dumps(manifest))
            reseal(path.parent)
        outcomes = normbench.load(name, results=tmp_path).reported.outcomes
        edge = 0.1 + (3 * (0.09 / known) ** 0.5 if known else 0.05 * 0.9)
        assert outcomes["at_chance"].tolist() == (outcomes["val_accuracy"] <= edge).tolist()


def test_a_part_of_the_datas_own_is_counted():
    dataset = prepare("digits")
    assert dataset.held_out(0.5) == round(0.5 * len(dataset.train_labels))
    assert dataset.examples(300) + dataset.held_out(300) == len(dataset.train_labels)
