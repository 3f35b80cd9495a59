"""How the tables look, to the letter: at 80 and at 40 columns, without colour, through a pipe.

The expected texts are the files in ``snapshots/``, in which ␛ stands for the escape character.
After a change that is meant, ``NORMBENCH_RENEW_SNAPSHOTS=1 pytest tests/cli/test_snapshots.py``
writes them anew; read the difference before it is committed.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from scripted import diverges, fails, finishes, play, probed
from tiny import experiment

from normbench.plan import PlannedRun

SNAPSHOTS = Path(__file__).parent / "snapshots"
RENEW = "NORMBENCH_RENEW_SNAPSHOTS"
TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
KINDS = {
    "terminal-80": ({"COLUMNS": "80"}, ()),
    "terminal-40": ({"COLUMNS": "40"}, ()),
    "no-color": ({**TERMINAL, "COLUMNS": "80", "NO_COLOR": "1"}, ()),
    "markdown": ({}, ("--format", "markdown")),
    "latex": ({}, ("--format", "latex")),
}
END = {"none": 0.3, "batch": 0.97, "layer": 0.95, "rms": 0.9}


def script(run: PlannedRun):
    """Batch norm is fastest; without a norm one run in three diverges; one run of rms crashed."""
    if (run.norm, run.seed) == ("none", 2):
        return diverges(3, 5)
    if (run.norm, run.seed) == ("rms", 1):
        return fails("it broke")
    end = END[run.norm] - run.seed / 100
    curve = {0: 0.1, 5: end - 0.2, 10: end - 0.1, 12: end}
    return finishes(curve, test=end - 0.01, probes=[probed(0), probed(11)])


@pytest.fixture(scope="module")
def made_up(tmp_path_factory, digits) -> Path:
    results = tmp_path_factory.mktemp("made-up")
    norms = "norms=[none, batch, layer, rms]"
    play(results, experiment(norms, "seeds=3", "name=made-up"), digits, script)
    return results


@pytest.mark.parametrize("kind", KINDS)
def test_the_tables_look_as_they_did(cli, made_up, monkeypatch, kind):
    variables, options = KINDS[kind]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    done = cli("compare", "made-up", "--results", made_up, *options)
    assert (done.code, done.err) == (0, "")
    text = done.out.replace("\x1b", "␛")
    path = SNAPSHOTS / f"{kind}.txt"
    if os.environ.get(RENEW):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_a_pipe_gets_what_a_terminal_of_80_columns_shows(cli, made_up):
    done = cli("compare", "made-up", "--results", made_up)
    assert done.out == (SNAPSHOTS / "terminal-80.txt").read_text(encoding="utf-8")


def test_no_color_leaves_no_colour():
    text = (SNAPSHOTS / "no-color.txt").read_text(encoding="utf-8")
    assert "␛[1m" in text
    assert not re.search(r"␛\[[0-9;]*\b[34][0-9]\b", text)


@pytest.mark.parametrize("width", [40, 80])
def test_no_line_is_wider_than_the_terminal(width):
    lines = (SNAPSHOTS / f"terminal-{width}.txt").read_text(encoding="utf-8").splitlines()
    assert max(map(len, lines)) <= width


def test_at_forty_columns_every_number_and_word_is_whole():
    text = (SNAPSHOTS / "terminal-40.txt").read_text(encoding="utf-8")
    words = {word.strip(",") for word in text.split()}
    assert {"96.0", "±11.3", "reached", "verdict", "diverged", "growth/layer"} <= words
