"""How the answer looks, to the letter: at 120, 80 and 40 columns, without colour, through a pipe.

The expected texts are the files in ``snapshots/``, in which ␛ stands for the escape character.
After a change that is meant, ``NORMBENCH_RENEW_SNAPSHOTS=1 pytest tests/cli/test_snapshots.py``
writes them anew; read the difference before it is committed.
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scripted import diverges, fails, finishes, play, probed
from tiny import experiment

from normbench.plan import PlannedRun
from normbench.training.events import Finished

SNAPSHOTS = Path(__file__).parent / "snapshots"
RENEW = "NORMBENCH_RENEW_SNAPSHOTS"
TERMINAL = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
KINDS = {
    "terminal-120": ("made-up", {"COLUMNS": "120"}, ()),
    "terminal-80": ("made-up", {"COLUMNS": "80"}, ()),
    "terminal-40": ("made-up", {"COLUMNS": "40"}, ()),
    "no-color": ("made-up", {**TERMINAL, "COLUMNS": "80", "NO_COLOR": "1"}, ()),
    "full": ("made-up", {"COLUMNS": "80"}, ("--full",)),
    "markdown": ("made-up", {}, ("--format", "markdown")),
    "latex": ("made-up", {}, ("--format", "latex")),
    "csv": ("made-up", {}, ("--format", "csv")),
    "few": ("few", {"COLUMNS": "80"}, ()),
    "sweep": ("sweep", {"COLUMNS": "80"}, ()),
    "sweep-markdown": ("sweep", {}, ("--format", "markdown")),
}
NORMS = "norms=[none, batch, layer, rms, {kind: group, groups: 4}]"
END = {"none": 0.1, "batch": 0.97, "layer": 0.965, "rms": 0.9, "group(groups=4)": 0.95}
MILLISECONDS = {"none": 0.6, "batch": 1.0, "layer": 0.8, "rms": 1.4, "group(groups=4)": 1.2}
LOSES = {2: 0.6, 4: 0.2}  # batch norm, by batch size


def noise(run: PlannedRun) -> float:
    """The same for the same run, and not the same between norms."""
    return 0.004 * float(np.random.default_rng([run.seed, *map(ord, run.norm)]).normal())


def script(run: PlannedRun):
    """Batch norm leads and layer norm is as good; without a norm nothing is learned; of rms norm
    one run crashed, of group norm two diverged.
    """
    if run.norm == "group(groups=4)" and run.seed in (2, 5):
        return diverges(3, 5)
    if (run.norm, run.seed) == ("rms", 1):
        return fails("RuntimeError: it broke")
    if run.norm == "none":
        gradient = [6.0 ** (-(5 - layer) / 2) * (1 + run.seed / 100) for layer in range(6)]
        plain = {name: [1.0] * 6 for name in vars(probed(0))["quantities"]}
        curve, probe = {0: 0.1, 12: 0.1}, probed(0, **plain | {"activation_gradient": gradient})
    else:
        end = END[run.norm] + noise(run)
        size = run.sweep_point.get("data.batch_size", 64)
        end -= LOSES.get(size, 0.0) if run.norm == "batch" else 0.0
        curve, probe = {0: 0.1, 5: end - 0.2, 10: end - 0.1, 12: end}, probed(0)
    found = finishes(curve, test=max(0.1, curve[12] - 0.01), probes=[probe, probed(11)])
    seconds = 12e-3 * MILLISECONDS[run.norm]
    return [replace(e, train_seconds=seconds) if isinstance(e, Finished) else e for e in found]


@pytest.fixture(scope="module")
def made_up(tmp_path_factory, digits) -> Path:
    results = tmp_path_factory.mktemp("made-up")
    deep = ("model.depth=6", "model.init=torch_default")
    play(results, experiment(NORMS, *deep, "seeds=8", "name=made-up"), digits, script)
    play(results, experiment(NORMS, *deep, "seeds=2", "name=few"), digits, script)
    swept = ("norms=[none, batch, layer, rms]", "sweep={data.batch_size: [2, 4, 16, 32]}")
    play(results, experiment(*swept, "seeds=10", "name=sweep"), digits, script)
    return results


@pytest.mark.parametrize("kind", KINDS)
def test_the_answer_looks_as_it_did(cli, made_up, monkeypatch, kind):
    name, variables, options = KINDS[kind]
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.chdir(made_up)  # a path of a length that does not change
    done = cli("compare", name, "--results", ".", *options)
    assert (done.code, done.err) == (0, "")
    text = shown(done.out)
    path = SNAPSHOTS / f"{kind}.txt"
    if os.environ.get(RENEW):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text(encoding="utf-8")


def test_a_pipe_gets_what_a_terminal_of_80_columns_shows(cli, made_up, monkeypatch):
    monkeypatch.chdir(made_up)
    done = cli("compare", "made-up", "--results", ".")
    assert shown(done.out) == (SNAPSHOTS / "terminal-80.txt").read_text(encoding="utf-8")


def shown(text: str) -> str:
    """Without a run's identity, which every new key of the config changes."""
    return re.sub(r"-s1-[0-9a-f]{8}", "-s1-identity", text).replace("\x1b", "␛")


def test_no_color_leaves_no_colour():
    text = (SNAPSHOTS / "no-color.txt").read_text(encoding="utf-8")
    assert "␛[1m" in text
    assert not re.search(r"␛\[[0-9;]*\b[34][0-9]\b", text)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(width):
    lines = (SNAPSHOTS / f"terminal-{width}.txt").read_text(encoding="utf-8").splitlines()
    footer = ("results: ", "next: ", "      normbench report ")  # to be copied
    assert max(len(line) for line in lines if not line.startswith(footer)) <= width


@pytest.mark.parametrize("width", [40, 80, 120])
def test_at_every_width_every_number_and_word_is_whole(width):
    text = (SNAPSHOTS / f"terminal-{width}.txt").read_text(encoding="utf-8")
    words = {word.strip(",;:.") for word in text.split()}
    assert {"0.678", "leader", "interval", "diverged", "chance", "0/8", "95"} <= words
