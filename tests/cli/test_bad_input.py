"""A network, a norm or data of one's own that does not work: one message, nothing written."""

from __future__ import annotations

import os

import numpy as np
import pytest

CODE = """\
import numpy as np
from torch import nn
from torch.nn import functional as F

VALUE = 3


class Thing:
    pass


class Raises(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.width = self.look_up()

    def look_up(self):
        return {}["width"]


class Net(nn.Module):
    def __init__(self, outputs=3, kernel=3):
        super().__init__()
        self.conv, self.bn = nn.Conv2d(1, 8, kernel), nn.BatchNorm2d(8)
        self.deep, self.head = nn.Conv2d(8, 8, 3), nn.Linear(8, outputs)

    def forward(self, x):
        return self.head(self.deep(self.bn(F.relu(self.conv(x)))).mean((2, 3)))


class Leaves(nn.Module):
    def __init__(self):
        raise SystemExit(3)


class Needs(nn.Module):
    def __init__(self, depth):
        super().__init__()


class NormThatRaises(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.width = {}["width"]


class NormThatSums(nn.Module):
    def __init__(self, features):
        super().__init__()

    def forward(self, x):
        return x.sum(1)


class NormThatFails(nn.Module):
    def __init__(self, features):
        super().__init__()
        self.linear = nn.Linear(7, 7)

    def forward(self, x):
        return self.linear(x)


def skips():
    return np.zeros((60, 8, 8)), np.arange(60) % 3 * 2


def unequal():
    return [np.zeros((8 + i % 2, 8)) for i in range(60)], np.arange(60) % 3


def one_class():
    return np.zeros((60, 8, 8)), np.zeros(60, int)
"""
CONFIG = """\
data: {path: good.npz, batch_size: 16, validation: 20}
model: {path: "parts.py:Net"}
norms: [original, batch]
training: {steps: 2}
target: {val_accuracy: 0.5}
seeds: 1
"""


@pytest.fixture
def own(tmp_path):
    """A config of one's own network on one's own images of three classes, which can be trained."""
    (tmp_path / "parts.py").write_text(CODE)
    (tmp_path / "broken.py").write_text("def f(:\n")
    (tmp_path / "own.yaml").write_text(CONFIG)
    images = np.random.default_rng(0).integers(0, 256, (120, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "good.npz", x_train=images, y_train=np.arange(120) % 3)
    return tmp_path


def test_a_network_with_as_many_outputs_as_the_data_have_classes_is_taken(cli, own):
    done = cli("train", "own.yaml", "--dry-run")  # it takes no num_classes: only the data can tell
    assert done.code == 0, done.err


MODELS = [
    ("nowhere.py:Net", "there is no file", "known: broken.py, parts.py"),
    ("parts.py:Nte", "defines no 'Nte'", "did you mean 'Net'"),
    ("parts.py:Thing", "Thing is a class, but not a torch.nn.Module", ""),
    ("parts.py:VALUE", "no class or function that makes a torch.nn.Module", ""),
    ("parts.py:Raises", "constructor raises KeyError: 'width'", "in look_up"),
    ("parts.py:Leaves", "constructor raises SystemExit: 3", "in __init__"),
    ("parts.py:Needs", "missing 1 required positional argument: 'depth'", "give it in model.args"),
    ("parts.py", "unknown model 'parts.py'", "say which model of that file: parts.py:NAME"),
    ("broken.py:Net", "raises SyntaxError: invalid syntax (broken.py, line 1)", ""),
    ("no_such:Net", "there is no module 'no_such'", "install it"),
    ("{path: 'parts.py:Net', args: {outputs: 7}}", "gives 7 numbers an image", "have 3 classes"),
    ("{path: 'parts.py:Net', args: {kernel: 7}}", "fails in deep (Conv2d)", "data.resize"),
]


@pytest.mark.parametrize(("model", "words", "more"), MODELS, ids=[case[0] for case in MODELS])
def test_a_network_that_does_not_work_is_one_message(cli, own, model, words, more):
    done = cli("train", "own.yaml", "--set", f"model={model}")
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error:") == 1
    assert words in done.err
    assert more in done.err
    assert f"{os.sep}normbench{os.sep}" not in done.err  # none of our own frames
    assert not (own / "results").exists()


NORMS = [
    ("nowhere.py:Norm", "there is no file", ""),
    ("parts.py:Thing", "is neither a NormMethod nor a torch.nn.Module", ""),
    ("parts.py:Nope", "defines no 'Nope'", ""),
    ("parts.py:NormThatRaises", "layer for bn, of 8x6x6, raises KeyError: 'width'", "__init__"),
    ("parts.py:NormThatFails", "layer for bn, of 8x6x6, raises RuntimeError", "in forward"),
    ("parts.py:NormThatSums", "layer for bn gives 6x6 for 8x6x6", ""),
]


@pytest.mark.parametrize("data", ["good.npz", "digits"])
@pytest.mark.parametrize(("norm", "words", "more"), NORMS, ids=[case[0] for case in NORMS])
def test_a_norm_that_does_not_work_is_one_message(cli, own, norm, words, more, data):
    outputs = f"model.args.outputs={3 if data == 'good.npz' else 10}"
    changes = (f"norms=[batch, '{norm}']", f"data={data}", outputs)
    done = cli("train", "own.yaml", *[word for c in changes for word in ("--set", c)])
    assert (done.code, done.out) == (2, "")
    assert done.err.count("error:") == 1
    assert words in done.err
    assert more in done.err
    assert not (own / "results").exists()


def test_a_norm_that_needs_other_sizes_than_a_file_of_images_leads_to_is_one_message(cli, own):
    done = cli("train", "own.yaml", "--set", "norms=[batch, {kind: group, groups: 3}]")
    assert done.code == 2
    assert "group(groups=3): bn: 3 groups do not divide 8 channels evenly" in done.err
    assert not (own / "results").exists()


DATA = [
    ("parts.py:skips", "the labels in y_train skip 1, 3 of 0 to 4"),
    ("parts.py:unequal", "images of unequal size in x_train: 8x8, 9x8"),
    ("parts.py:one_class", "a single class in y_train; two are the least"),
    ("parts.py:VALUE", "is of type int, not a function"),
    ("broken.py:make", "raises SyntaxError: invalid syntax (broken.py, line 1)"),
]


@pytest.mark.parametrize(("data", "words"), DATA, ids=[case[0] for case in DATA])
def test_data_that_cannot_be_trained_on_are_one_message(cli, own, data, words):
    done = cli("train", "own.yaml", "--set", f"data={data}")
    assert (done.code, done.out) == (3, "")
    assert done.err.count("error:") == 1
    assert words in done.err
    assert not (own / "results").exists()


def test_a_network_by_path_is_exchanged_for_another_from_the_command_line(cli, own):
    done = cli("train", "own.yaml", "--dry-run", "--set", "model.path=parts.py:Nte")
    assert done.code == 2
    assert "--set model.path=parts.py:Nte  model.kind: " in done.err
    (own / "other.py").write_text(CODE)
    done = cli("train", "own.yaml", "--dry-run", "--set", "model.path=other.py:Net")
    assert done.code == 0, done.err
