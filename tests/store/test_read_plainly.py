"""The reader that takes few steps a run gives what a plain reading of the files gives."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from scripted import diverges, evaluated, fails, finishes, play, probed, started, stops
from tiny import experiment

from normbench.store import Results, read_results
from normbench.training import events

NAN = float("nan")
CURVE = {0: 0.1, 5: 0.4, 10: 0.6, 12: 0.7}
SEEDS = 9
SHORT, LONG = [0.5], [i + 0.123456789 for i in range(4000)]


def journal(path: Path) -> list[dict[str, Any]]:
    """Every line that ends in a newline, by the json module."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.split("\n")[:-1]]


def plain(value: Any) -> Any:
    """null and NaN alike as None, so that they compare equal; arrays as lists."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return None if isinstance(value, float) and math.isnan(value) else value


def rows(frame: Any, run: str) -> list[dict[str, Any]]:
    own = frame[frame["run"] == run].drop(columns="run")
    return [{name: plain(value) for name, value in row.items()} for row in own.to_dict("records")]


def check(found: Results, damaged: set[str]) -> None:
    """Hold what was read against the files."""
    for row in found.runs.to_dict("records"):
        if row["run"] in damaged:
            assert row["state"] == "damaged"
            assert plain(row["val_accuracy"]) is plain(row["test_accuracy"]) is None
            assert not rows(found.curves, row["run"]) + rows(found.probes, row["run"])
            continue
        folder = found.path / row["run"]
        metrics, probes = journal(folder / "metrics.jsonl"), journal(folder / "probes.jsonl")
        evaluations = [event for event in metrics if event["event"] == "eval"]
        wanted = ("step", "val_accuracy", "val_loss", "train_loss", "train_seconds")
        curve = [{name: event[name] for name in wanted} for event in evaluations]
        for line, event in zip(curve, evaluations, strict=True):
            line["train_accuracy"] = event.get("train_accuracy")  # older journals lack it
        assert rows(found.curves, row["run"]) == curve
        ends = [probes[0], probes[-1]] if probes and probes[0] != probes[-1] else probes[:1]
        known = [{k: v for k, v in event.items() if k != "event"} for event in ends]
        assert rows(found.probes, row["run"]) == known
        last = evaluations[-1] if evaluations else {}
        assert plain(row["val_accuracy"]) == last.get("val_accuracy")
        path = folder / "manifest.json"
        manifest = json.loads(path.read_text()) if path.exists() else {"state": "missing"}
        dead = manifest["state"] == "running"  # nobody holds the lock
        assert row["state"] == ("interrupted" if dead else manifest["state"])
        assert plain(row["diverged_at"]) == manifest.get("diverged_at")


@pytest.fixture
def odd(tmp_path, digits) -> Path:
    """Runs that ended in every way there is, and some whose lines are of unequal lengths."""
    told = [
        diverges(3, 5),
        finishes(CURVE, probes=[probed(step) for step in (0, 3, 11)]),
        fails(),
        stops(4),
        [started(), evaluated(0, 0.1), probed(0)],
        None,
        finishes(CURVE, probes=[probed(0, dead_units=SHORT), probed(11, dead_units=LONG)]),
        finishes(CURVE, probes=[probed(s, dead_units=[NAN, s]) for s in (0, 1, 2)]),
        [started(), evaluated(0, 0.1, NAN), events.Diverged(0), events.Finished(5, 0.1, 0, 0)],
    ]
    play(tmp_path, experiment("norms=[none]", f"seeds={SEEDS}"), digits, lambda run: told[run.seed])
    return tmp_path


def torn(text: str) -> str:
    return text[:-3]


def torn_after_a_long_line(text: str) -> str:
    return text + '{"event": "probe", "step": 12, "dead_units": ' + str(LONG)


def twice(text: str) -> str:
    """As if a continued run had not cut its journal back."""
    return text + text


def nothing(text: str) -> str:
    return ""


def one_line(text: str) -> str:
    return text[: text.find("\n") + 1]


@pytest.mark.parametrize("change", [str, torn, torn_after_a_long_line, twice, nothing, one_line])
def test_every_number_is_the_one_in_the_files(odd: Path, change: Callable[[str], str]):
    damaged = set()
    for path in odd.glob("*/*/*.jsonl"):
        before = path.read_text()
        path.write_text(change(before))
        if change(before) != before and (path.parent / "DONE").exists():
            damaged.add(path.parent.name)
    found = read_results(odd, "tiny")
    assert len(found.runs) == SEEDS
    assert len(damaged) == (0 if change is str else 5)
    check(found, damaged)


opened: list[str] | None = None


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if opened is not None and event == "open":
        opened.append(str(arguments[0]))


sys.addaudithook(_note)  # cannot be removed, and notes nothing outside the test below


def test_a_run_costs_four_small_reads(odd: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules[__name__], "opened", [])
    read_results(odd, "tiny")
    assert opened is not None
    files = [Path(name).name for name in opened if Path(name).is_relative_to(odd)]
    files = [name for name in files if name != ".lock"]  # looked at once, not for every run
    assert files.count("experiment.json") == 1
    assert files.count("manifest.json") == SEEDS
    # The run that never began has none; a run that has not ended is unsealed.
    assert files.count("metrics.jsonl") == files.count("probes.jsonl") == SEEDS - 1
    assert files.count("DONE") == 5
    assert len(files) == 3 * SEEDS + 4
