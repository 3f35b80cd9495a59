"""The README's promises that can be checked by reading."""

from __future__ import annotations

import re
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


def test_every_verb_of_the_readme_exists():
    from normbench.cli import app

    verbs = {command.name for command in app.registered_commands}
    named = {
        line.split()[1]
        for block in BLOCKS
        for line in block.splitlines()
        if line.startswith("normbench ")
    }
    assert named
    assert named <= verbs
