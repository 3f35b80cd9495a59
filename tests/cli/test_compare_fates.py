"""Everything that can become of a run, at every width and in every format of ``compare``."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import pytest
from contract import (
    COMPARISONS,
    CONVERGENCE,
    FOOTER,
    GRADIENTS,
    fits,
    parsed,
)
from rich.cells import cell_len
from scripted import evaluated, fails, finishes, play, probed, started, stops
from tiny import experiment

import normbench
from normbench.plan import PlannedRun
from normbench.training import events

LABELS = ["none", "batch", "layer", "rms", "a name of forty characters, as allowed"]
WIDE = (
    "norms=[none, batch, layer, rms, {kind: group, name: a name of forty characters (as allowed)}]",
    "seeds=3",
)
CURVE = {0: 0.1, 5000: 0.4, 100000: 0.7123}


def everything(run: PlannedRun):
    """Runs of every fate, with numbers of every size."""
    tiny = probed(0, activation_gradient=[1e-30, 0.0, 3e12])
    nan = float("nan")
    return {
        "none": [
            started(100000),
            events.EpochStarted(0, 0, "batches"),
            probed(0, activation_gradient=[nan, math.inf, 1.0], dead_units=[1.0, 1.0, 1.0]),
            evaluated(0, 0.1, nan),
            events.Diverged(3),
            events.Finished(5, 0.1, 0.0, 0.0),
        ],
        "batch": finishes(CURVE, probes=[tiny, probed(99999)]),
        "layer": fails() if run.seed else finishes(CURVE, probes=[probed(0), probed(99999)]),
        "rms": stops(4) if run.seed else finishes(CURVE, probes=[probed(0)]),
    }.get(run.norm, None if run.seed else finishes(CURVE, probes=[probed(0)]))


@pytest.fixture(scope="module")
def fates(tmp_path_factory, digits) -> Path:
    results = tmp_path_factory.mktemp("fates")
    play(results, experiment(*WIDE), digits, everything)
    swept = experiment(
        *WIDE, "sweep={model.depth: [3, 4], optimizer.lr: [0.01, 0.1]}", "name=swept", "seeds=2"
    )
    play(results, swept, digits, everything)
    return results


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", ["tiny", "swept"])
@pytest.mark.parametrize("more", [(), ("--full",)])
def test_no_line_is_wider_than_the_terminal(cli, fates, monkeypatch, name, width, more):
    monkeypatch.setenv("COLUMNS", str(width))
    done = cli("compare", name, "--results", fates, *more)
    assert done.code == 0
    lines = [line for line in done.out.splitlines() if not line.startswith(FOOTER)]
    assert max(map(cell_len, lines)) <= width


def test_full_shows_every_table_below_the_answer(cli, fates):
    short = cli("compare", "tiny", "--results", fates).out
    full = cli("compare", "tiny", "--results", fates, "--full").out
    first = short.splitlines()[0]
    assert full.startswith(first)
    for title in ("convergence", "steps to target", "gradients", "paired comparison with none"):
        assert f"tiny: {title}" in full
        assert f"tiny: {title}" not in short


def test_another_norm_can_be_the_baseline_without_training(cli, fates):
    done = cli("compare", "tiny", "--results", fates, "--json", "--baseline", "batch")
    found = parsed(done.out)
    assert found["baseline"] == "batch"
    assert {row["baseline"] for row in found["comparisons"]} == {"batch"}
    wrong = cli("compare", "tiny", "--results", fates, "--baseline", "bacth")
    assert wrong.code == 2
    assert "batch" in wrong.err


def test_at_eighty_columns_the_numbers_that_matter_are_whole(cli, fates, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    done = cli("compare", "tiny", "--results", fates)
    lines = done.out.splitlines()
    for norm, told in (
        ("none", ["0.100", "> 100000 0/3", "3"]),
        ("batch", ["leader", "100000 3/3", "ok"]),
        ("layer", ["100000 1/3", "2 failed"]),
        ("rms", ["100000 1/3", "2"]),
    ):
        (line,) = [line for line in lines if line.split()[:1] == [norm] and "/3" in line][:1]
        for part in told:
            assert part in line, (part, line)


def test_every_fate_is_counted_in_the_json(cli, fates):
    done = cli("compare", "tiny", "--results", fates, "--json")
    found = parsed(done.out)
    rows = {row["norm"]: row for row in found["convergence"]}
    assert len(rows) == 5
    assert {row["runs"] for row in rows.values()} == {3}
    assert rows["none"]["diverged"] == 3
    assert rows["none"]["steps_to_target"] is None
    assert rows["none"]["val_accuracy_mean"] == pytest.approx(0.1)
    assert rows["layer"]["failed"] == 2
    assert rows["rms"]["interrupted"] == 2
    assert rows["a name of forty characters (as allowed)"]["missing"] == 2
    assert rows["batch"]["val_accuracy_mean"] == pytest.approx(0.7123)
    assert rows["layer"]["val_accuracy_mean"] == pytest.approx(0.7123)


def test_the_object_of_the_library_holds_no_number_that_is_none(fates):
    found = normbench.compare("tiny", results=fates).to_dict(all_pairs=True)
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_sweep_keys_stand_in_every_row(cli, fates):
    done = cli("compare", "swept", "--results", fates, "--json")
    found = parsed(done.out)
    keys = {"model.depth": int, "optimizer.lr": float}
    for name, contract in (
        ("convergence", CONVERGENCE),
        ("gradients", GRADIENTS),
        ("comparisons", COMPARISONS),
    ):
        assert found[name]
        fits(found[name], contract, keys)
    assert len(found["convergence"]) == 4 * 5


def test_all_pairs_compares_every_two_norms(cli, fates):
    done = cli("compare", "tiny", "--results", fates, "--json", "--all-pairs")
    pairs = {frozenset((row["norm"], row["baseline"])) for row in parsed(done.out)["comparisons"]}
    assert len(pairs) == 10


def tables_of(text: str) -> list[list[list[str]]]:
    """CSV tables that blank lines separate, each below a line with its title."""
    parts = [part.split("\n", 1) for part in text.strip().split("\n\n")]
    assert all(title.startswith("# ") for title, _ in parts)
    return [list(csv.reader(io.StringIO(body))) for _, body in parts]


def test_csv_is_one_table_with_the_numbers_in_full(cli, fates):
    done = cli("compare", "tiny", "--results", fates, "--format", "csv")
    assert done.code == 0
    headings, *rows = csv.reader(io.StringIO(done.out))
    assert {len(row) for row in rows} == {len(headings)}
    assert rows[0][0] == "batch"
    assert len(rows) == 5
    (layer,) = [row for row in rows if row[0] == "layer"]
    assert float(layer[headings.index("test_accuracy_mean")]) == 0.5
    swept = cli("compare", "swept", "--results", fates, "--format", "csv").out
    headings, *rows = csv.reader(io.StringIO(swept))
    assert {"model.depth", "optimizer.lr"} <= set(headings)
    assert len(rows) == 4 * 5


def test_csv_in_full_holds_every_table(cli, fates):
    done = cli("compare", "tiny", "--results", fates, "--format", "csv", "--full")
    tables = tables_of(done.out)
    for table in tables:
        assert len({len(row) for row in table}) == 1
    convergence = next(table for table in tables if set(CONVERGENCE) <= set(table[0]))
    headings = convergence[0]
    (batch,) = [row for row in convergence if row[0] == "batch"]
    assert float(batch[headings.index("val_accuracy_mean")]) == pytest.approx(0.7123, abs=1e-12)
    for contract in (set(GRADIENTS), set(COMPARISONS)):
        assert any(contract <= set(table[0]) for table in tables)


@pytest.mark.parametrize(("more", "least"), [((), 1), (("--full",), 4)])
def test_markdown_parses(cli, fates, more, least):
    done = cli("compare", "tiny", "--results", fates, "--format", "markdown", *more)
    blocks = [block for block in done.out.split("\n\n") if block.lstrip().startswith("|")]
    assert len(blocks) >= least
    for block in blocks:
        rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in block.strip().splitlines()]
        assert len({len(row) for row in rows}) == 1
        assert all(re.fullmatch(r" ?:?-+:? ?", text) for text in rows[1])
    titles = re.findall(r"^### tiny: convergence$", done.out, re.M)
    assert bool(titles) == bool(more)
    if not more:  # nothing but the table
        assert done.out.startswith("| norm |")


@pytest.mark.parametrize(("more", "least"), [((), 1), (("--full",), 4)])
def test_latex_parses(cli, fates, more, least):
    done = cli("compare", "tiny", "--results", fates, "--format", "latex", *more)
    tables = re.findall(r"\\begin\{tabular\}\{([lr]+)\}(.*?)\\end\{tabular\}", done.out, re.S)
    assert len(tables) >= least
    for spec, body in tables:
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(spec) - 1}
        assert not re.findall(r"(?<!\\)[%_#]", body)
    signs = set("▁▂▃▄▅▆▇█–±µ▲▼≈★·∞†")
    assert not signs & set(re.sub(r"(?m)^%.*$", "", done.out))


def test_runs_are_listed_with_their_state(cli, fates):
    done = cli("list", "runs", "tiny", "--results", fates, "--json")
    runs = parsed(done.out)["runs"]
    tiny = [run for run in runs if run["experiment"] == "tiny"]
    assert len(tiny) == 15
    assert {run["state"] for run in tiny} == {
        "diverged",
        "finished",
        "failed",
        "interrupted",
        "missing",
    }
    assert cli("list", "runs", "tiny", "--results", fates).code == 0
    empty = cli("list", "runs", "--all", "--results", fates / "nowhere")
    assert (empty.code, empty.out) == (0, "")
