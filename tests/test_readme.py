"""The README's promises that can be checked by reading."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from normbench.config import bundled, load

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```sh\n(.*?)```", README, re.S)


def test_ci_runs_the_readmes_test_command_as_it_stands():
    (command,) = [line for block in BLOCKS for line in block.splitlines() if "pytest" in line]
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()


def test_both_lines_do_all_their_own_set_up():
    lines = [line for block in BLOCKS for line in block.splitlines() if "venv" in line]
    assert len(lines) == 2
    for line in lines:
        assert line.startswith("python3 -m venv .venv && .venv/bin/pip install")
        assert "-c constraints.txt" in line


@pytest.mark.parametrize("path", bundled(), ids=lambda path: path.stem)
def test_every_bundled_config_is_valid(path):
    assert load(path).name == path.stem


def commands() -> list[list[str]]:
    """The normbench commands of the README, in words, without their comments."""
    lines = [line for block in BLOCKS for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("normbench ")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_of_the_readme_is_one_the_command_line_takes(words):
    from typer.core import TyperGroup
    from typer.main import get_command

    from normbench.cli import app

    group = get_command(app)
    assert isinstance(group, TyperGroup)
    if words[1].startswith("-"):
        assert words[1] in {name for option in group.params for name in option.opts}
        return
    group.commands[words[1]].make_context(words[1], words[2:])  # parses, and runs nothing


def test_every_verb_has_its_example_in_the_readme():
    from normbench.cli import app

    assert {verb.name for verb in app.registered_commands} == {
        words[1] for words in commands() if not words[1].startswith("-")
    }


def test_the_readmes_own_norm_works_as_it_stands():
    (block,) = [b for b in re.findall(r"```python\n(.*?)```", README, re.S) if "NORMS" in b]
    check = """
import torch
from normbench.config import find_config, load
from normbench.norms import make_norm
x = torch.randn(4, 6)
torch.testing.assert_close(make_norm("mean_only_layer", (6,))(x), x - x.mean(1, keepdim=True))
assert "mean_only_layer" in load(find_config(None), ["norms=[none, mean_only_layer]"]).labels
"""
    done = subprocess.run([sys.executable, "-c", block + check], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_the_readme_links_to_is_there():
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_files_of_ones_own_train_as_they_stand(tmp_path, own_cache):
    blocks = re.findall(r"```(?:python|yaml)\n# (\w+\.\w+)[^\n]*\n(.*?)```", README, re.S)
    files = {
        name: text for name, text in blocks if name in ("my_net.py", "my_norm.py", "mine.yaml")
    }
    assert files.keys() == {"my_net.py", "my_norm.py", "mine.yaml"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    for words in (("my_net.py:Net", "--size", "8x8x1"), ("my_norm.py:MeanOnly",)):
        command = [sys.executable, "-m", "normbench", "check", *words]
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
        assert done.stdout.endswith("nothing is wrong\n"), done.stdout + done.stderr
    short = ("--set", "training={steps: 4, evaluations: 1}", "--set", "seeds=1", "-q")
    command = [sys.executable, "-m", "normbench", "train", "mine.yaml", "--jobs", "2", *short]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = sorted(path.name for path in (tmp_path / "results/mine").iterdir() if path.is_dir())
    assert {run.partition("-s0")[0] for run in runs if "-s0" in run} == {
        *("original", "none", "batch", "layer", "group", "MeanOnly"),
    }


def test_the_readmes_own_data_are_read_as_they_stand(tmp_path, monkeypatch):
    from normbench.data import prepare

    (block,) = [b for b in re.findall(r"```python\n(.*?)```", README, re.S) if "def make" in b]
    (tmp_path / "my_data.py").write_text(block)
    monkeypatch.setenv("NORMBENCH_CACHE_DIR", str(tmp_path / "cache"))
    found = prepare("function", options={"path": f"{tmp_path / 'my_data.py'}:make"})
    assert (found.image_shape, found.num_classes) == ((16, 16, 1), 2)
