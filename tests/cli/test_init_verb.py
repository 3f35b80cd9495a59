"""normbench init writes a config that validates, by questions or by options."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

from normbench.config import load


@pytest.fixture
def terminal(monkeypatch):
    """A terminal on which these lines are typed."""

    def type_(*lines: str) -> None:
        typed = io.StringIO("".join(f"{line}\n" for line in lines))
        typed.isatty = lambda: True
        monkeypatch.setattr(sys, "stdin", typed)

    return type_


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())


def test_without_a_terminal_the_defaults_are_taken(cli, tmp_path):
    done = cli("init")
    assert done.code == 0
    assert "wrote my-digits-mlp.yaml: 32 runs (none, batch, layer, rms)" in done.out
    assert "next: normbench train my-digits-mlp.yaml" in done.err
    assert "valid, 32 runs" in cli("validate", "my-digits-mlp.yaml").out


def test_the_options_are_taken(cli, tmp_path):
    options = ("--dataset", "mnist", "--model", "cnn", "--norms", "batch,rms", "--seeds", "2")
    done = cli("init", "here.yaml", *options, "--target", "0.5", "--name", "there", "--json")
    assert json.loads(done.out) == {
        "schema": 1,
        "path": "here.yaml",
        "experiment": "there",
        "runs": 4,
    }
    found = load(tmp_path / "here.yaml")
    assert (found.data.dataset, found.model.kind, found.labels) == (
        "mnist",
        "cnn",
        ["batch", "rms"],
    )


def test_the_experiment_is_named_after_its_file(cli, tmp_path):
    assert cli("init", "an experiment", "--yes").code == 0
    assert load(tmp_path / "an experiment.yaml").name == "an-experiment"


def test_on_a_terminal_it_asks_and_asks_again_with_a_suggestion(cli, terminal, tmp_path):
    terminal("mnits", "mnist", "", "btach,none", "batch,none", "zero", "3", "", "mine")
    done = cli("init")
    assert done.code == 0
    assert "dataset [digits]:" in done.err
    assert "did you mean 'mnist'" in done.err
    assert "did you mean 'batch'" in done.err
    assert "must be a number of seeds, a list of them or auto" in done.err
    found = load(tmp_path / "mine.yaml")
    assert (found.data.dataset, found.labels, found.seeds) == ("mnist", ["batch", "none"], 3)


def test_what_is_given_is_not_asked(cli, terminal):
    terminal("", "", "", "")
    done = cli("init", "--dataset", "digits", "--model", "mlp")
    assert done.code == 0
    assert "dataset [" not in done.err
    assert "norms [" in done.err


def test_yes_asks_nothing(cli, terminal):
    terminal()
    done = cli("init", "--yes")
    assert done.code == 0
    assert "[" not in done.err


def test_a_folder_of_images_is_asked_for(cli, terminal, tmp_path):
    terminal("folder", "cnn", "some/where", "", "", "", "")
    assert cli("init", "x.yaml").code == 0
    assert "path: some/where" in (tmp_path / "x.yaml").read_text()


def test_the_path_of_a_config_elsewhere_counts_from_there(cli, tmp_path):
    (tmp_path / "pictures").mkdir()
    (tmp_path / "configs").mkdir()
    done = cli("init", "configs/x.yaml", "--dataset", "folder", "--images", "pictures", "--yes")
    assert done.code == 0
    assert load(tmp_path / "configs" / "x.yaml").data.source().path == str(tmp_path / "pictures")


@pytest.mark.parametrize("target", ["file", "folder", "link"])
def test_nothing_is_overwritten(cli, tmp_path, target):
    path = tmp_path / "x.yaml"
    if target == "file":
        path.write_text("mine")
    elif target == "folder":
        path.mkdir()
    else:
        path.symlink_to("nowhere")
    done = cli("init", "x.yaml", "--yes")
    assert (done.code, done.out) == (2, "")
    assert "exists already" in done.err
    assert not Path(tmp_path / "nowhere").exists()
    assert target != "file" or path.read_text() == "mine"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--dataset", "mnits"), "did you mean 'mnist'"),
        (("--model", "cnm"), "did you mean 'cnn'"),
        (("--norms", "btach"), "did you mean 'batch'"),
        (("--target", "1.5"), "val_accuracy"),
        (("absent/x.yaml",), "cannot be written"),
        ((".",), "is a folder"),
        (("..",), "is a folder"),
        (("",), "is a folder"),
    ],
)
def test_a_wrong_option_is_told_and_nothing_is_written(cli, tmp_path, options, told):
    done = cli("init", "--yes", *options)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert not list(tmp_path.iterdir())


def test_validate_says_when_the_seeds_are_too_few_for_a_verdict(cli):
    for seeds, told in ((6, "6 seeds can give no verdict"), (7, "7 seeds find a difference of")):
        flags = ("--norms", "none,batch,rms", "--seeds", str(seeds), "--yes")
        begun = cli("init", f"{seeds}.yaml", *flags)
        assert begun.code == 0
        done = cli("validate", f"{seeds}.yaml")
        assert done.code == 0
        assert told in done.err
        assert told in begun.err
        assert "sd of the paired difference" in done.err
