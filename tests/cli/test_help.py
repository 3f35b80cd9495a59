"""Help: at once, and for everything."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

import pytest
import typer

from normbench.cli import app

COMMAND = typer.main.get_command(app)
VERBS = sorted(COMMAND.commands)  # type: ignore[attr-defined]


def parameters() -> list:
    found = [pytest.param("", p, id=f"normbench {p.name}") for p in COMMAND.params]
    for verb in VERBS:
        for p in COMMAND.commands[verb].params:  # type: ignore[attr-defined]
            found.append(pytest.param(verb, p, id=f"{verb} {p.name}"))
    return found


def test_the_verbs_of_the_contract_are_there():
    assert {"train", "compare", "list", "show", "validate"} <= set(VERBS)


@pytest.mark.parametrize(("verb", "parameter"), parameters())
def test_every_option_and_argument_has_a_sentence(verb, parameter):
    text = getattr(parameter, "help", None)
    assert text, f"{verb} {parameter.name} has no help"
    assert text.rstrip()[-1] in ".)"


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_says_what_it_does_and_names_its_options(cli, verb):
    done = cli(verb, "--help")
    assert done.code == 0
    assert done.err == ""
    command = COMMAND.commands[verb]  # type: ignore[attr-defined]
    assert command.help
    flat = " ".join(done.out.split())
    for parameter in command.params:
        for option in parameter.opts:
            if option.startswith("--"):
                assert option in flat
    assert command.help.splitlines()[0].split()[0] in flat


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_lists_the_verbs(cli, option):
    done = cli(option)
    assert done.code == 0
    for verb in VERBS:
        assert verb in done.out


def test_without_arguments_there_is_help(cli):
    done = cli()
    assert "Usage" in done.out + done.err
    assert done.code in (0, 2)


def test_the_options_that_verbs_share_are_there():
    train = {o for p in COMMAND.commands["train"].params for o in p.opts}  # type: ignore[attr-defined]
    shared = {"--set", "--results", "--data-dir", "--json", "-q"}
    assert shared | {"--jobs", "--fresh", "--dry-run", "--format"} <= train
    compare = {o for p in COMMAND.commands["compare"].params for o in p.opts}  # type: ignore[attr-defined]
    assert {"--results", "--json", "--format", "--all-pairs"} <= compare


def test_the_version_is_told(cli):
    done = cli("--version")
    assert done.code == 0
    assert done.out.startswith("normbench ")


def test_help_answers_at_once_and_loads_nothing_heavy():
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "normbench", "--help"],
            capture_output=True,
            text=True,
            check=True,
        )
        spent.append(time.perf_counter() - start)
    assert "Usage" in done.stdout
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines()}
    assert "normbench.cli" in loaded
    assert not loaded & {"torch", "pandas", "numpy", "pydantic", "scipy"}
    assert median(spent) < 2.0  # 0.4 s is promised; a busy machine gets five times that


def test_an_unknown_verb_is_a_usage_error(cli):
    done = cli("trian")
    assert done.code == 2
    assert "No such command 'trian'" in done.err
    assert done.out == ""
