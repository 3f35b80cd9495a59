"""``normbench claims`` from end to end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from normbench.cli import app
from normbench.errors import ConfigError

SMALL = ("--set", "training.epochs=0.5", "--set", "seeds=2", "--set", "model.depth=3")


def run(tmp_path: Path, *words: str) -> dict[str, Any]:
    """The JSON of one call in this process."""
    words = ("claims", *words, "--json", "-q", "--results", str(tmp_path / "results"))
    result = CliRunner().invoke(app, words, catch_exceptions=False)
    assert result.exit_code == 0, result.output

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in the JSON")

    return json.loads(result.stdout, parse_constant=refuse)


def test_direct_measurements_need_no_training(tmp_path: Path):
    words = [word for n in (2, 5, 8, 9) for word in ("--only", str(n))]
    found = run(tmp_path, *words)
    assert [claim["number"] for claim in found["claims"]] == [2, 5, 8, 9]
    assert {claim["verdict"] for claim in found["claims"]} == {"supported"}
    assert not (tmp_path / "results").exists()
    for claim in found["claims"]:
        assert claim["evidence"]
        assert claim["commands"][0].startswith("normbench claims --only ")


def test_an_unknown_statement_is_a_mistake_in_usage(tmp_path: Path):
    with pytest.raises(ConfigError, match="no statement 12"):
        run(tmp_path, "--only", "12")


@pytest.mark.slow
def test_every_statement_gets_a_verdict_and_nothing_is_trained_twice(tmp_path: Path):
    found = run(tmp_path, "--quick", *SMALL)
    assert [claim["number"] for claim in found["claims"]] == list(range(1, 12))
    names = {path.name for path in (tmp_path / "results").iterdir()}
    assert names == {
        f"digits-claims-quick{suffix}" for suffix in ("", "-depth", "-batch-size", "-other-model")
    }
    verdicts = {claim["number"]: claim["verdict"] for claim in found["claims"]}
    assert all(verdicts[number] == "not enough evidence" for number in (3, 4, 6, 7, 11))
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("DONE")}
    assert done
    again = run(tmp_path, "--quick", *SMALL, "--only", "3", "--only", "7")
    assert done == {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("DONE")}
    by_number = {claim["number"]: claim["numbers"] for claim in found["claims"]}
    assert again["claims"][0]["numbers"] == by_number[3]


@pytest.mark.slow
def test_the_verdict_on_batch_norm_turns_where_it_loses(tmp_path: Path):
    # Two examples a batch make its statistics noise, and so shallow a network needs no norm.
    words = ("data.batch_size=2", "model.depth=3", "model.init=he_normal", "training.epochs=1")
    more = ("optimizer.lr=0.002", "target.val_accuracy=0.8", "training.evaluate_every=20")
    sets = [word for text in (*words, *more) for word in ("--set", text)]
    found = run(tmp_path, "--quick", "--only", "3", *sets)
    assert found["claims"][0]["verdict"] == "refuted"
    assert found["claims"][0]["numbers"]["shared"]["verdict"] == "worse"


@pytest.mark.slow
def test_an_interruption_exits_with_130(tmp_path: Path):
    command = [sys.executable, "-m", "normbench", "claims", "--quick", "--only", "3"]
    command += ["--results", str(tmp_path)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
    limit = time.monotonic() + 120
    while not list(tmp_path.rglob("metrics.jsonl")) and time.monotonic() < limit:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "the same command continues" in errors
