"""Every verb's help ends with examples, and each of them is a command line that parses."""

from __future__ import annotations

import shlex

import pytest
import typer

from normbench.bundled import bundled
from normbench.cli import app
from normbench.cli.examples import EXAMPLES
from normbench.config import find_config, load

COMMAND = typer.main.get_command(app)
VERBS = sorted(COMMAND.commands)  # type: ignore[attr-defined]
LINES = [(verb, line) for verb, found in EXAMPLES.items() for line, _ in found]


def parsed(verb: str, line: str) -> dict:
    program, name, *words = shlex.split(line)
    assert (program, name) == ("normbench", verb)
    command = COMMAND.commands[verb]  # type: ignore[attr-defined]
    return command.make_context(verb, words).params


def test_every_verb_has_examples_and_no_other_has():
    assert sorted(EXAMPLES) == VERBS
    assert all(EXAMPLES.values())


@pytest.mark.parametrize(("verb", "line"), LINES, ids=lambda text: text)
def test_an_example_parses(verb, line):
    parsed(verb, line)


def test_a_line_with_an_unknown_option_would_be_found():
    with pytest.raises(Exception, match="No such option"):
        parsed("rm", "normbench rm --stael digits")


@pytest.mark.parametrize(("verb", "line"), LINES, ids=lambda text: text)
def test_an_examples_config_is_bundled_and_takes_what_is_set(verb, line):
    found = parsed(verb, line)
    config = found.get("config")
    if config is None or config == "my.yaml":
        config = None
    else:
        assert config in [path.stem for path in bundled()]
    load(find_config(config), found.get("set_") or [])


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_shows_them_line_by_line(cli, verb, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    lines = [line.strip() for line in cli(verb, "--help").out.splitlines()]
    for line, what in EXAMPLES[verb]:
        assert f"$ {line}" in lines
        assert what in lines
