"""Data of one's own from the outside: trained on, shown, and refused with one message."""

from __future__ import annotations

import json

import numpy as np
import pytest
import yaml

MAKE = """\
import numpy as np

def make(count=60):
    labels = np.arange(count) % 2
    images = np.random.default_rng(0).normal(size=(count, 3, 6, 6)) + labels[:, None, None, None]
    images[:, 0, 0] = 0
    return {"x_train": images, "y_train": labels, "classes": ["ant", "bee"]}
"""

TEXT = """\
norms: [batch, layer]
data: {path: 'my_data.py:make', batch_size: 8}
model: {kind: mlp, depth: 3, width: 8}
training: {steps: 4}
target: {val_accuracy: 0.5}
seeds: 1
"""


@pytest.fixture
def own(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "my_data.py").write_text(MAKE)
    (tmp_path / "sub" / "own.yaml").write_text(TEXT)
    return tmp_path / "sub" / "own.yaml"


def test_a_function_of_ones_own_is_trained_on_and_an_edited_one_makes_new_runs(cli, own, tmp_path):
    done = cli("train", own, "--jobs", "2", "-q")
    assert done.code == 0, done.err
    assert "identical across norms (2 runs)" in done.out
    assert len(list((tmp_path / "results" / "own").glob("*-s0-*"))) == 2
    own.with_name("my_data.py").write_text(MAKE.replace("size=", "scale=2, size="))
    assert "2 of 2 runs to train" in cli("train", own, "--dry-run").out
    own.with_name("my_data.py").write_text(MAKE)
    assert "all 2 runs are done" in cli("train", own, "--dry-run").err


def test_show_runs_no_code_and_says_so_until_it_was_run(cli, own):
    path, ran = own.with_name("my_data.py"), own.with_name("ran")
    path.write_text(f"open({str(ran)!r}, 'w')\n{MAKE}")
    done = cli("show", own)
    assert done.code == 0
    assert f"# data: not read yet, since that runs {path}:make; `normbench train" in done.out
    assert cli("validate", own).code == 0
    assert not ran.exists()
    assert cli("train", own, "--dry-run").code == 0
    assert ran.exists()
    shown = cli("show", own).out
    assert "# data: 48 training images, 12 for the test: 6x6, colour, float32 of -" in shown
    assert "# 2 classes: ant 24, bee 24" in shown
    assert "# 6 of 108 features are the same in all training images" in shown
    assert yaml.safe_load(shown)["data"]["dataset"] == "function"


def test_the_dry_run_tells_what_is_in_the_data(cli, config):
    out = cli("train", config, "--dry-run").out
    assert "1,437 training images, 360 for the test: 8x8, grey, bytes" in out
    assert "10 classes: 0 142, 1 145," in out
    assert "features are the same in all training images" in out
    found = json.loads(cli("train", config, "--dry-run", "--json").out)["data"]
    assert (found["training"], found["test"], found["shape"]) == (1437, 360, [8, 8, 1])
    assert sum(found["per_class"].values()) == 1437
    assert found["constant"] > 0


def test_show_tells_of_data_that_cannot_be_read_and_is_a_config_all_the_same(cli, config, tmp_path):
    done = cli("show", config, "--set", "data=nothing.npz")
    assert done.code == 0
    assert f"# data: {tmp_path / 'nothing.npz'} does not exist" in done.out
    assert yaml.safe_load(done.out)["name"] == "tiny"
    done = cli("show", config, "--set", "data=mnist", "--data-dir", tmp_path)
    assert "# data: not here yet" in done.out


def test_signs_in_a_path_that_steer_a_terminal_are_escaped(cli, config):
    done = cli("show", config, "--set", r'data="\e[31m.npz"')
    assert done.code == 0
    assert "\x1b" not in done.out
    assert r"\x1b[31m.npz does not exist" in done.out


def test_an_everyday_option_takes_a_path_with_any_letters(cli, tmp_path):
    labels = np.arange(60) % 2
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8))
    np.savez(tmp_path / "my, [own] #1.npz", x_train=images, y_train=labels)
    few = [f"--set={text}" for text in ("data.batch_size=8", "training.steps=2", "seeds=1")]
    done = cli("train", "--data", "my, [own] #1.npz", "--norms", "batch,layer", "--dry-run", *few)
    assert done.code == 0, done.err
    assert "48 training images, 12 for the test: 8x8, grey, bytes" in done.out


LABELS = np.arange(20) % 2
IMAGES = np.zeros((20, 4, 4))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ((IMAGES, LABELS * 0), "a single class in y_train; two are the least"),
        ((IMAGES, LABELS * 2), "the labels in y_train skip 1 of 0 to 2"),
        ((IMAGES, LABELS / 2), "y_train must hold whole numbers from 0, got 0.5"),
        ((IMAGES * np.nan, LABELS), "NaN or infinite, in 20 of 20 images"),
        ((IMAGES, LABELS[:9]), "20 images in x_train but 9 labels in y_train"),
        ((IMAGES, LABELS, IMAGES[:, :3], LABELS), "data.resize: 64"),
    ],
)
def test_bad_arrays_are_one_message_with_exit_code_three(cli, config, tmp_path, arrays, words):
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(tmp_path / "mine.npz", **dict(zip(names, arrays, strict=False)))
    done = cli("train", config, "--set", "data=mine.npz")
    assert (done.code, done.out) == (3, "")
    assert words in done.err
    assert done.err.count(str(tmp_path / "mine.npz")) == 1
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("nowhere.py:make", "there is no file"),
        ("my_data.py:mak", "did you mean 'make'"),
        ("my_data.py:broken", "raises ZeroDivisionError: division by zero"),
        ("nowhere.npz", "does not exist"),
        ("no/where", "does not exist"),
        ("no_such_module:make", "there is no module 'no_such_module'"),
    ],
)
def test_a_path_that_leads_nowhere_is_one_message_with_exit_code_three(
    cli, config, tmp_path, path, words
):
    broken = "\ndef helper():\n    return 1 / 0\n\ndef broken():\n    return helper()\n"
    (tmp_path / "my_data.py").write_text(MAKE + broken)
    done = cli("train", config, "--data", path)
    assert (done.code, done.out) == (3, "")
    assert words in done.err
    assert ("in helper" in done.err) == (path == "my_data.py:broken")
    assert not (tmp_path / "results").exists()


def test_images_too_small_for_the_network_are_told_with_the_remedy(cli, config, tmp_path):
    np.savez(tmp_path / "mine.npz", x_train=IMAGES, y_train=LABELS)
    small = ("--set=data={path: mine.npz, batch_size: 4}", "--set=model={kind: cnn, stages: 4}")
    done = cli("train", config, *small)
    assert done.code == 2
    assert "data.resize makes the images of another size" in done.err
    assert not (tmp_path / "results").exists()
    done = cli("train", config, "--dry-run", *small, "--set=data.resize=32", "--set=model.depth=4")
    assert done.code == 0, done.err
