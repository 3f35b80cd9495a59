"""A first config for any dataset and network: valid, commented throughout, sensible in size."""

from __future__ import annotations

import importlib.util
import itertools
import re
from dataclasses import replace

import pytest
import yaml

from normbench.bundled import bundled
from normbench.config import load
from normbench.config.starter import starter, suggested
from normbench.data import DATASETS
from normbench.errors import ConfigError
from normbench.models import MODELS

MODELS_HERE = [name for name in MODELS.names() if name != "timm" or importlib.util.find_spec(name)]
PAIRS = [(dataset, model) for dataset in DATASETS.names() for model in MODELS_HERE]


@pytest.mark.parametrize(("dataset", "model"), PAIRS)
def test_every_dataset_and_model_has_a_starter_that_is_valid_and_says_what_was_chosen(
    dataset, model
):
    choice = suggested(dataset, model)
    text = starter(choice)
    found = load(text)
    assert (found.data.dataset, found.model.kind, found.name) == (dataset, model, choice.name)
    assert yaml.safe_load(text)["name"] == choice.name
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize(("dataset", "model"), PAIRS)
def test_every_key_has_a_comment_beside_or_above_it(dataset, model):
    lines = starter(suggested(dataset, model)).splitlines()
    for above, line in itertools.pairwise(lines):
        if re.match(r" *[a-z_]+:", line):
            assert re.search(r"# \S", line) or re.match(r" *# \S", above), line


@pytest.mark.parametrize("path", bundled(), ids=lambda path: path.stem)
def test_the_values_are_those_of_the_bundled_config_for_the_same_pair(path):
    wanted = load(path)
    if wanted.sweep or wanted.tune or wanted.report.misclassified:
        return  # these ask a question of their own
    found = load(starter(suggested(wanted.data.dataset, wanted.model.kind)))
    images = {"path": "path/to/images"} if wanted.data.dataset == "folder" else {}
    assert found.model_copy(update={"name": wanted.name}) == wanted, images


@pytest.mark.parametrize(("dataset", "model"), [("cifar10", "mlp"), ("fashion_mnist", "cnn")])
def test_where_nobody_knows_what_can_be_reached_a_norm_sets_the_target(dataset, model):
    found = load(starter(suggested(dataset, model)))
    assert found.resolved()["target"] == {"from": "batch", "pilot_seeds": 3}


def test_the_choices_are_taken():
    choice = replace(
        suggested("digits", "mlp"),
        name="mine",
        norms="layer, {kind: group, groups: 4}",
        seeds="[3, 5]",
        target="[0.5, 0.75]",
    )
    found = load(starter(choice))
    assert found.name == "mine"
    assert found.labels == ["layer", "group(groups=4)"]
    assert found.baseline == "layer"
    assert found.seed_list == [3, 5]
    assert found.resolved()["target"] == {"val_accuracy": [0.5, 0.75]}


@pytest.mark.parametrize(
    ("field", "text", "told"),
    [
        ("norms", "batch, btach", "did you mean 'batch'"),
        ("norms", "", "at least one norm"),
        ("norms", "]", "not valid YAML"),
        ("seeds", "0", "seeds"),
        ("target", "7", "val_accuracy"),
        ("target", "instance", "none of the norms"),
        ("name", "a b", "cannot name a folder"),
    ],
)
def test_a_wrong_choice_is_told_without_a_line_that_nobody_has_seen(field, text, told):
    with pytest.raises(ConfigError, match=re.escape(told)) as caught:
        starter(replace(suggested("digits", "mlp"), **{field: text}))
    assert "config:" not in str(caught.value)
