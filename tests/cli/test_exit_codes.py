"""Every mistake has its exit code, its place and its remedy, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from scripted import diverges, fails, finishes, manifest, play, put_hostile_checkpoint, stops
from tiny import TEXT, experiment, journals

from normbench.plan import PlannedRun
from normbench.store import SCHEMA, ExperimentStore

CURVE = {0: 0.1, 5: 0.4, 12: 0.7}


def nothing_written(folder: Path) -> bool:
    """Only what the test itself put there."""
    return {path.name for path in folder.iterdir()} <= {"tiny.yaml", "empty"}


def swapped(config: Path, old: str, new: str) -> None:
    text = config.read_text()
    assert old in text
    config.write_text(text.replace(old, new))


# --- 2: usage and config ---


@pytest.mark.parametrize("verb", ["train", "validate", "show"])
def test_an_unknown_norm_is_named_with_its_place_and_the_nearest(cli, config, tmp_path, verb):
    swapped(config, "[none, batch]", "[none, btach]")
    done = cli(verb, config)
    assert done.code == 2
    assert done.out == ""
    assert f"{config}:4:15  norms[1]: unknown norm 'btach'" in done.err
    assert "did you mean 'batch'?" in done.err
    assert nothing_written(tmp_path)


def test_all_mistakes_of_a_file_are_told_at_once(cli, config, tmp_path):
    swapped(config, "lr: 0.1", "lr: -1")
    swapped(config, "depth: 3", "depth: three")
    swapped(config, "seeds: 2", "sedes: 2")
    done = cli("train", config)
    assert done.code == 2
    for place in ("optimizer.lr", "model.depth", "sedes"):
        assert place in done.err
    assert "did you mean 'seeds'" in done.err
    assert nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("optimizer.lr=fast", "--set optimizer.lr=fast"),
        ("optimizer.momentun=0.1", "did you mean 'momentum'"),
        ("model.depht=4", "did you mean 'depth'"),
        ("nonsense", "must be key=value"),
        ("=3", "must be key=value"),
        ("norms[7]=batch", "entries, numbered from 0"),
        ("training.steps=true", "training.steps"),
        ("optimizer.lr=.nan", "optimizer.lr"),
        ("model.depth=[", "--set model.depth=["),
    ],
)
def test_a_bad_set_is_told_as_it_was_typed(cli, config, tmp_path, text, told):
    done = cli("train", config, "--set", text)
    assert done.code == 2
    assert told in done.err
    assert done.out == ""
    assert nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nowhere.yaml", "no such config"),
        ("digit", "did you mean 'digits'"),
        (".", "is a folder, not a config"),
    ],
)
def test_a_config_that_is_not_there_is_told_with_the_bundled_ones(cli, tmp_path, name, told):
    done = cli("train", name)
    assert done.code == 2
    assert told in done.err
    assert nothing_written(tmp_path)


@pytest.mark.parametrize(
    "content", ["", "- a\n- b\n", "{{{", "name: x\nname: y\n", "\x00", "norms: &a [*a]\n"]
)
def test_a_file_that_is_no_config_is_refused(cli, config, tmp_path, content):
    config.write_text(content)
    done = cli("train", config)
    assert done.code == 2
    assert str(config) in done.err
    assert nothing_written(tmp_path)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("data.batch_size=5000", "data.batch_size"),
        ("data.validation=1436", "data.validation"),
        ("data.validation=5", "data.validation"),
    ],
)
def test_a_config_the_data_cannot_serve_is_told_before_anything_is_written(
    cli, config, tmp_path, override, told
):
    done = cli("train", config, "--set", override)
    assert done.code == 2
    assert told in done.err
    assert nothing_written(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "--jobs", "0"),
        ("train", "--jobs", "many"),
        ("train", "--executor", "rya"),
        ("claims", "--ray-address", "auto"),
        ("train", "--format", "excel"),
        ("train", "--no-such-option"),
        ("compare", "--metric", "auc_mean"),
        ("list",),
        ("list", "nroms"),
        ("validate",),
    ],
)
def test_wrong_usage_is_two(cli, tmp_path, arguments):
    done = cli(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert nothing_written(tmp_path)


# --- 3: data ---


def test_a_dataset_that_is_not_there_tells_the_files_the_place_and_the_alternative(
    cli, config, tmp_path
):
    empty = tmp_path / "empty"
    empty.mkdir()
    empty.chmod(0o555)  # left alone even by the superuser, so no network is asked
    done = cli("train", config, "--set", "data.dataset=mnist", "--data-dir", empty)
    assert done.code == 3
    assert done.out == ""
    for part in (
        "mnist: 4 files are missing",
        str(empty),
        "MNIST/raw/train-images-idx3-ubyte",
        "--data-dir",
        "NORMBENCH_DATA_DIR",
        "digits",
    ):
        assert part in done.err
    assert list(empty.iterdir()) == []
    assert nothing_written(tmp_path)


def test_a_folder_of_images_that_is_not_there_is_a_data_error(cli, config, tmp_path):
    data = f"data={{dataset: folder, path: {tmp_path / 'images'}, validation: 10, batch_size: 8}}"
    done = cli("train", config, "--set", data)
    assert done.code == 3
    assert str(tmp_path / "images") in done.err
    assert nothing_written(tmp_path)


# --- 4: the store ---


@pytest.mark.parametrize("place", ["file", "proc"])
def test_results_that_cannot_be_written_are_named(cli, config, tmp_path, place):
    results = config if place == "file" else Path("/proc/nowhere")
    done = cli("train", config, "--results", results)
    assert done.code == 4
    assert done.out == ""
    assert f"cannot write to {results}/tiny" in done.err
    assert "--results DIR" in done.err
    assert config.read_text() == TEXT


def test_an_experiment_in_use_is_left_alone(cli, config, tmp_path):
    other = ExperimentStore(tmp_path / "results", "tiny")
    other.lock()
    done = cli("train", config)
    assert done.code == 4
    assert "in use by another normbench process" in done.err
    assert not list((tmp_path / "results" / "tiny").glob("*.json"))
    other.unlock()


def test_an_unknown_experiment_is_told_with_the_nearest(cli, config, tmp_path, digits):
    play(tmp_path / "results", experiment(), digits, lambda _: finishes(CURVE))
    done = cli("compare", "tinny")
    assert done.code == 4
    assert f"no experiment 'tinny' in {tmp_path / 'results'}" in done.err
    assert "did you mean 'tiny'?  known: tiny" in done.err


def test_without_any_experiment_the_remedy_is_to_train(cli):
    done = cli("compare", "digits")
    assert done.code == 4
    assert "none yet: `normbench train` makes one" in done.err


def test_results_of_other_data_are_refused_and_kept(cli, config, tmp_path, digits):
    play(tmp_path / "results", experiment(), digits, lambda _: finishes(CURVE))
    for path in (tmp_path / "results" / "tiny").glob("*/manifest.json"):
        found = json.loads(path.read_text())
        found["data"]["fingerprint"] = "0" * 64
        path.write_text(json.dumps(found))
    before = journals(tmp_path / "results" / "tiny")
    done = cli("train", config)
    assert done.code == 4
    assert "was trained on other data" in done.err
    assert "--fresh" in done.err
    assert journals(tmp_path / "results" / "tiny") == before


@pytest.mark.parametrize("part", ["experiment.json", "*/manifest.json"])
def test_results_of_a_newer_normbench_are_not_read(cli, tmp_path, digits, part):
    play(tmp_path / "results", experiment(), digits, lambda _: finishes(CURVE))
    make_newer(tmp_path / "results" / "tiny", part)
    done = cli("compare", "tiny")
    assert done.code == 4
    assert "newer normbench" in done.err


def make_newer(folder: Path, part: str) -> None:
    for path in folder.glob(part):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"schema": SCHEMA + 1}))


@pytest.mark.parametrize("part", ["experiment.json", "*/manifest.json"])
def test_results_of_a_newer_normbench_are_not_written_to(cli, config, tmp_path, digits, part):
    play(tmp_path / "results", experiment(), digits, lambda _: finishes(CURVE))
    folder = tmp_path / "results" / "tiny"
    make_newer(folder, part)
    before = (folder / "experiment.json").read_bytes()
    done = cli("train", config, "--set", "seeds=1")
    assert done.code == 4
    assert "newer normbench" in done.err
    assert (folder / "experiment.json").read_bytes() == before


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "null", '{"schema": 1}'],
)
def test_a_damaged_plan_shows_no_traceback(cli, tmp_path, digits, content):
    play(tmp_path / "results", experiment(), digits, lambda _: finishes(CURVE))
    record, copy = sorted((tmp_path / "results" / "tiny").glob("experiment*.json"), reverse=True)
    record.write_text(content)
    done = cli("compare", "tiny")
    assert done.code == 0
    assert "experiment.json is damaged" in " ".join(done.out.split())
    copy.write_text(content)
    done = cli("compare", "tiny")
    assert done.code == 4
    assert "experiment.json is damaged" in done.err
    assert "`normbench train` with its config" in done.err


@pytest.mark.parametrize(
    "content",
    ["{", "[]", "null", '{"schema": 1}'],
)
def test_a_damaged_manifest_hides_no_other_run(cli, tmp_path, digits, content):
    play(tmp_path / "results", experiment(), digits, lambda _: finishes(CURVE))
    path = next((tmp_path / "results" / "tiny").glob("*/manifest.json"))
    path.write_text(content)
    done = cli("compare", "tiny")
    assert done.code == 0
    assert "manifest.json is damaged" in " ".join(done.out.split())
    assert "1 damaged" in done.out


def test_a_damaged_journal_hides_no_other_run(cli, tmp_path, digits):
    play(tmp_path / "results", experiment(), digits, lambda _: finishes(CURVE))
    path = next((tmp_path / "results" / "tiny").glob("*/metrics.jsonl"))
    path.write_text("not json\n")
    done = cli("compare", "tiny")
    assert done.code == 0
    assert "metrics.jsonl is damaged" in " ".join(done.out.split())


# --- runs that did not come to an end ---


def test_an_experiment_without_any_result_says_why(cli, tmp_path, digits):
    def script(run: PlannedRun):
        return {0: fails("no memory"), 1: stops(4)}[run.seed]

    play(tmp_path / "results", experiment("seeds=2"), digits, script)
    done = cli("compare", "tiny")
    assert done.code == 4
    assert "has no finished run" in done.err
    assert "2 failed" in done.err
    assert "2 interrupted" in done.err
    assert "no memory" in done.err


def test_a_divergence_is_a_result(cli, tmp_path, digits):
    play(tmp_path / "results", experiment(), digits, lambda _: diverges(3, 5))
    done = cli("compare", "tiny")
    assert done.code == 0
    assert "2 diverged" in done.out


def test_a_run_that_fails_makes_the_command_fail_after_all_tables(cli, config, tmp_path, digits):
    results = tmp_path / "results"
    play(results, experiment(), digits, lambda run: None if run.seed else finishes(CURVE))
    (broken,) = [r for r in plan_of(experiment()) if (r.norm, r.seed) == ("batch", 1)]
    folder = results / "tiny" / broken.folder
    folder.mkdir()
    put_hostile_checkpoint(folder / "checkpoint.pt")
    done = cli("train", config, "-q", "--jobs", "1")
    assert done.code == 1
    assert f"failed: {broken.folder}: " in done.err
    assert "steps to" in done.out
    assert "1 failed" in done.out
    assert manifest(folder)["state"] == "failed"


def test_when_every_run_fails_the_tables_say_so_and_the_code_is_one(cli, config, monkeypatch):
    monkeypatch.setattr("normbench.execution.fit.usable", lambda device: True)
    done = cli("train", config, "-q", "--jobs", "1", "--set", "runtime.device='cuda:99'")
    assert done.code == 1
    assert done.err.count("failed: ") == 4
    told = " ".join(done.out.split())
    assert told.startswith("No run has a result yet.")
    assert told.count("has no result: all 2 runs failed (AssertionError: Torch not compiled") == 2


def plan_of(wanted):
    from normbench.plan import expand

    return expand(wanted)


def test_an_unfair_comparison_is_an_error_after_the_tables(cli, tmp_path, digits):
    def script(run: PlannedRun):
        backbone = "other" if (run.norm, run.seed) == ("batch", 1) else "same"
        return finishes(CURVE, backbone=backbone)

    play(tmp_path / "results", experiment("norms=[none, rms, batch]"), digits, script)
    done = cli("compare", "tiny")
    assert done.code == 4
    assert "to leader" in " ".join(done.out.split())
    assert "! The norms were not compared on equal terms" in done.out
    assert "backbone differ in batch-s1-" in done.err
    found = cli("compare", "tiny", "--json")
    assert found.code == 4
    assert json.loads(found.out)["fairness"]["backbones_identical"] is False


@pytest.mark.parametrize(
    "line", ["compare tinny", "show tinny/none", "list runs tinny", "rm tinny --yes"]
)
def test_every_verb_suggests_the_experiment_that_was_meant(cli, results, line):
    done = cli(*line.split())
    assert (done.code, done.out) == (4, "")
    assert "did you mean 'tiny'?" in done.err
