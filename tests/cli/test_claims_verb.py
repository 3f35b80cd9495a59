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

from normbench import api
from normbench.cli import app
from normbench.errors import ConfigError

SMALL = (
    *("--set", "training.epochs=0.5", "--set", "seeds=2", "--set", "model.depth=3"),
    *("--set", "runtime.stack=2"),
)


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
    verdicts = {claim["number"]: claim["verdict"] for claim in found["claims"]}
    assert verdicts == {2: "supported", 5: "depends", 8: "supported", 9: "depends"}
    assert not (tmp_path / "results").exists()
    for claim in found["claims"]:
        assert claim["evidence"]
        assert claim["commands"][0].startswith("normbench claims --only ")


def test_every_part_says_whether_it_holds(tmp_path: Path):
    (claim,) = run(tmp_path, "--only", "9")["claims"]
    assert claim["depends_on"] == ["part"]
    assert {part["part"]: part["holds"] for part in claim["parts"]} == {
        "divides by the root mean square": True,
        "for each feature": False,
        "a learned scale": True,
    }
    assert claim["conditions"].startswith("on which part of it: holds ")


def test_the_list_comes_first_and_the_evidence_on_request():
    words = ("claims", "--only", "8", "-q")
    short = CliRunner().invoke(app, words).stdout
    full = CliRunner().invoke(app, (*words, "-v")).stdout
    assert "supported" in short
    assert "to reproduce" not in short
    assert "to reproduce" in full
    assert full.startswith(short.split("-v shows")[0])


def test_an_unknown_statement_is_a_mistake_in_usage(tmp_path: Path):
    with pytest.raises(ConfigError, match="no statement 99"):
        run(tmp_path, "--only", "99")


def test_looking_again_finds_the_functions_of_the_notebook_and_not_their_packages():
    import normbench as nb
    import normbench.claims.base
    import normbench.report.columns

    assert nb.claims is api.claims
    assert nb.report is api.report


TRAINED = (1, 3, 4, 6, 7, 11, 12, 13, 14, 15, 17, 18, 19)


@pytest.mark.slow
def test_every_statement_gets_a_verdict_and_nothing_is_trained_twice(tmp_path: Path):
    found = run(tmp_path, "--quick", *SMALL)
    assert [claim["number"] for claim in found["claims"]] == list(range(1, 20))
    names = {path.name for path in (tmp_path / "results").iterdir()}
    suffixes = ("", "-depth", "-batch-size", "-batch-size-updates", "-other-model")
    assert names == {f"digits-claims-quick{suffix}" for suffix in suffixes}
    verdicts = {claim["number"]: claim["verdict"] for claim in found["claims"]}
    # Two seeds decide nothing that is paired.
    assert all(verdicts[number] == "not enough evidence" for number in TRAINED if number != 1)
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("DONE")}
    assert done
    again = run(tmp_path, "--quick", *SMALL, "--only", "3", "--only", "7")
    assert done == {path: path.stat().st_mtime_ns for path in (tmp_path / "results").rglob("DONE")}
    by_number = {claim["number"]: claim["parts"] for claim in found["claims"]}
    assert again["claims"][0]["parts"] == by_number[3]


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
