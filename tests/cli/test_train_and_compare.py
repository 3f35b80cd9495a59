"""``normbench train`` and ``compare`` from the outside: what they print, and what it is worth."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from rich.cells import cell_len
from scripted import evaluated, fails, finishes, play, probed, started, stops
from tiny import experiment, journals, logits_by_hand, pixels

import normbench
from normbench.config import RunConfig
from normbench.data import split
from normbench.plan import PlannedRun
from normbench.seeding import stream
from normbench.training import events

NUMBER = (int, float)
NULLABLE = (int, float, type(None))

CONVERGENCE = {
    "norm": str,
    "runs": int,
    "reached": int,
    "diverged": int,
    "failed": int,
    "steps_to_target": NULLABLE,
    "seconds_to_target": NULLABLE,
    "val_accuracy_mean": NULLABLE,
    "val_accuracy_std": NULLABLE,
    "test_accuracy_mean": NULLABLE,
    "test_accuracy_std": NULLABLE,
    "auc_mean": NULLABLE,
    "train_seconds_per_step": NULLABLE,
}
GRADIENTS = {
    "norm": str,
    "step": int,
    "growth_per_layer": NULLABLE,
    "first_layer_grad_norm": NULLABLE,
    "last_layer_grad_norm": NULLABLE,
    "dead_units": NULLABLE,
}
COMPARISONS = {
    "norm": str,
    "baseline": str,
    "metric": str,
    "pairs": int,
    "difference": NULLABLE,
    "ci_low": NULLABLE,
    "ci_high": NULLABLE,
    "p_value": NULLABLE,
    "p_adjusted": NULLABLE,
    "p_better": NULLABLE,
    "verdict": (str, type(None)),
}
NORM_OF_VERDICT = {
    "norm": str,
    "place": int,
    "seeds": int,
    "value": NULLABLE,
    "difference": NULLABLE,
    "ci_low": NULLABLE,
    "ci_high": NULLABLE,
    "interval": str,
    "verdict": str,
    "more_seeds": NULLABLE,
    "runs": int,
    "reached": int,
    "at_chance": int,
    "train_seconds_per_step": NULLABLE,
}
VERDICT = r"better|worse|similar|undecided( \(.+\))?|too few seeds \(needs \d+\)"
FOOTER = ("results: ", "next: ", "      normbench report ")  # to be copied, whatever their length


def parsed(text: str) -> dict:
    """One object, without any word for a number that is none."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in the JSON output")

    return json.loads(text, parse_constant=refuse)


def fits(rows: list[dict], contract: dict, keys: dict[str, type]) -> None:
    for row in rows:
        for name, kind in {**contract, **keys}.items():
            assert name in row, name
            assert isinstance(row[name], kind), (name, row[name])
            assert not isinstance(row[name], bool), name


def check_contract(text: str, norms: list[str], keys: dict[str, type] | None = None) -> dict:
    keys = keys or {}
    found = parsed(text)
    assert found["schema"] == 1
    assert found["experiment"] == "tiny"
    assert found["baseline"] in norms
    assert found["fairness"]["backbones_identical"] is True
    assert found["fairness"]["batches_identical"] is True
    fits(found["convergence"], CONVERGENCE, keys)
    fits(found["gradients"], GRADIENTS, keys)
    fits(found["comparisons"], COMPARISONS, keys)
    assert list(dict.fromkeys(row["norm"] for row in found["convergence"])) == norms
    check_verdict(found, norms, keys)
    for row in found["comparisons"]:
        if row["metric"] == "auc":
            assert re.fullmatch(VERDICT, row["verdict"])
        else:  # one metric carries the verdicts
            assert row["verdict"] is row["p_adjusted"] is None
        assert row["baseline"] == found["baseline"]
        assert row["metric"] in ("steps_to_target", "auc", "val_accuracy", "test_accuracy")
    return found


def check_verdict(found: dict, norms: list[str], keys: dict[str, type]) -> None:
    verdict = found["verdict"]
    assert (verdict["metric"], verdict["similar_within"]) == ("auc", 0.01)
    assert set(verdict["best_set"]) <= set(norms)
    assert verdict["leader"] in [*norms, None]
    assert all(isinstance(text, str) and text.endswith(".") for text in verdict["sentences"])
    assert verdict["sentences"]
    fits(verdict["norms"], NORM_OF_VERDICT, keys)
    assert {row["norm"] for row in verdict["norms"]} == set(norms)


# --- real training, once ---

NORMS = ["none", "batch", "layer", "rms"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits) -> Path:
    """Results of a small experiment."""
    results = tmp_path_factory.mktemp("trained")
    normbench.train(experiment(f"norms=[{', '.join(NORMS)}]"), results=results, jobs=1)
    return results


def test_the_json_fits_the_contract(cli, trained):
    done = cli("compare", "tiny", "--results", trained, "--json")
    assert (done.code, done.err) == (0, "")
    found = check_contract(done.out, NORMS)
    assert found["baseline"] == "none"
    assert [row["runs"] for row in found["convergence"]] == [2] * 4
    assert {row["step"] for row in found["gradients"]} == {0, 11}
    assert {row["pairs"] for row in found["comparisons"]} == {2}
    assert len(found["comparisons"]) == 3 * 4


def test_train_prints_the_same_object_as_compare(cli, config, trained, tmp_path):
    first = cli("train", config, "-q", "-j", "1", "--json", "--set", "seeds=1")
    assert first.code == 0
    assert first.err == ""
    assert first.out.count("\n") == 1
    check_contract(first.out, ["none", "batch"])
    assert cli("compare", "tiny", "--json").out == first.out


def rows_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_val_accuracy_mean_is_what_an_evaluation_of_the_stored_checkpoints_gives(
    cli, trained, digits
):
    found = parsed(cli("compare", "tiny", "--results", trained, "--json").out)
    for row in found["convergence"]:
        validated, tested = [], []
        for path in sorted((trained / "tiny").glob(f"{row['norm']}-s*")):
            config = RunConfig.model_validate(yaml.safe_load((path / "config.yaml").read_text()))
            saved = torch.load(path / "checkpoint.pt", weights_only=True)
            _, validation = split(
                digits.train_labels, config.data.validation, stream(config.seed, "split")
            )
            for images, labels, into in (
                (digits.train_images[validation], digits.train_labels[validation], validated),
                (digits.test_images, digits.test_labels, tested),
            ):
                logits = logits_by_hand(saved["network"], pixels(digits, images), row["norm"])
                into.append(np.mean(logits.argmax(1) == labels))
        assert row["val_accuracy_mean"] == pytest.approx(np.mean(validated), abs=1e-6)
        assert row["val_accuracy_std"] == pytest.approx(np.std(validated, ddof=1), abs=1e-6)
        assert row["test_accuracy_mean"] == pytest.approx(np.mean(tested), abs=1e-6)


def test_the_convergence_row_is_what_the_journals_say(cli, trained):
    found = parsed(cli("compare", "tiny", "--results", trained, "--json").out)
    for row in found["convergence"]:
        first, best = [], []
        for path in sorted((trained / "tiny").glob(f"{row['norm']}-s*")):
            curve = [(e["step"], e["val_accuracy"]) for e in rows_of(path) if e["event"] == "eval"]
            first.append(next((step for step, a in curve if a >= 0.5), math.inf))
            best.append(max(a for _, a in curve))
        median = float(np.median(first))
        assert row["reached"] == sum(map(math.isfinite, first))
        assert row["steps_to_target"] == (median if math.isfinite(median) else None)
        assert row["best_val_accuracy_mean"] == pytest.approx(np.mean(best))


def test_the_gradient_row_is_what_the_probes_say(cli, trained):
    found = parsed(cli("compare", "tiny", "--results", trained, "--json").out)
    for row in found["gradients"]:
        lines = []
        for path in sorted((trained / "tiny").glob(f"{row['norm']}-s*")):
            probes = [json.loads(x) for x in (path / "probes.jsonl").read_text().splitlines()]
            lines += [probe for probe in probes if probe["step"] == row["step"]]
        gradient = np.array([line["activation_gradient"] for line in lines])
        assert row["first_layer_grad_norm"] == pytest.approx(np.median(gradient[:, 0]))
        assert row["last_layer_grad_norm"] == pytest.approx(np.median(gradient[:, -1]))
        assert row["dead_units"] == pytest.approx(np.mean([line["dead_units"] for line in lines]))


def test_the_tables_go_to_stdout_and_carry_no_control_codes(cli, config):
    done = cli("train", config, "--set", "seeds=1", "--jobs", "1")
    assert done.code == 0
    assert "\x1b" not in done.out + done.err
    assert "\r" not in done.out + done.err
    assert "tiny: convergence" not in done.out
    assert done.out.count("to leader") + done.out.count("leader\n") >= 1
    assert f"results: {Path('results/tiny')}" in done.out
    assert "next: normbench compare tiny --full" in done.out
    told = " ".join(done.out.split())
    assert re.search(r"backbones and batch orders .*identical across norms \(2 runs", told)
    assert done.err.startswith("tiny: mlp (depth 3, width 16, activation relu, init ")
    assert "none, batch x 1 seed: 2 runs -> results/tiny" in done.err
    assert "finished, step 12" in done.err


def test_the_same_command_again_trains_nothing_and_prints_the_same(cli, config, tmp_path):
    first = cli("train", config, "-q", "-j", "1", "--set", "seeds=1")
    before = journals(tmp_path / "results" / "tiny")
    checkpoints = {p: p.stat().st_mtime_ns for p in tmp_path.glob("results/*/*/checkpoint.pt")}
    again = cli("train", config, "--set", "seeds=1")
    assert (again.code, again.out) == (0, first.out)
    assert "2 runs were done before, 0 to train" in again.err
    assert {p: p.stat().st_mtime_ns for p in checkpoints} == checkpoints
    assert cli("train", config, "-q", "-j", "1", "--set", "seeds=1", "--fresh").code == 0
    assert all(p.stat().st_mtime_ns > then for p, then in checkpoints.items())
    assert journals(tmp_path / "results" / "tiny") == before


def test_more_seeds_train_only_what_is_new(cli, config, tmp_path):
    shared = ("train", config, "--jobs", "1", "--set", "norms=[none]")
    cli(*shared, "--set", "seeds=1")
    done = cli(*shared, "--set", "seeds=2")
    assert "1 runs were done before, 1 to train" in done.err


def test_a_target_reached_to_the_last_bit_is_reached(cli, tmp_path, digits):
    curve = {0: 0.1, 5: 90 / 100, 12: 0.5}
    wanted = experiment("target={val_accuracy: 0.9}", "norms=[none]", "seeds=1")
    play(tmp_path / "results", wanted, digits, lambda _: finishes(curve))
    (row,) = parsed(cli("compare", "tiny", "--json").out)["convergence"]
    assert (row["reached"], row["steps_to_target"]) == (1, 5)


# --- tables of experiments where everything happened ---

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
    done = cli("list", "runs", "--results", fates, "--json")
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
    assert cli("list", "runs", "--results", fates).code == 0
    empty = cli("list", "runs", "--results", fates / "nowhere")
    assert (empty.code, empty.out) == (0, "")
