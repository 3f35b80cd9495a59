"""A number that is shown is the number that was measured: what is not as it was written is damaged,
named, and trained again."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from scripted import finishes, play, probed, reseal, stops, unseal
from tiny import experiment, journals

import normbench
from normbench.errors import NormbenchError
from normbench.execution import NullObserver
from normbench.plan import expand
from normbench.report.fates import caveats
from normbench.results.experiment import ExperimentResult
from normbench.store import ExperimentStore, RunStore, read_results
from normbench.store.read import read_probes
from normbench.store.record import read_record

CURVE = {0: 0.1, 5: 0.4, 10: 0.6, 12: 0.7}
ONE = ("norms=[none]", "seeds=1")


@pytest.fixture
def run(tmp_path: Path, digits) -> RunStore:
    """A run that has ended, alone in its experiment."""
    told = finishes(CURVE, probes=[probed(0), probed(3), probed(11)])
    play(tmp_path, experiment(*ONE), digits, lambda _: told)
    (planned,) = expand(experiment(*ONE))
    return ExperimentStore(tmp_path, "tiny").run(planned.folder)


def read(run: RunStore, **options: bool) -> tuple[str, str]:
    """The run's state in the tables, and the reason."""
    found = read_results(run.path.parent.parent, "tiny", **options)
    (row,) = found.runs.to_dict("records")
    if row["state"] == "damaged":
        assert row["val_accuracy"] != row["val_accuracy"]
        assert found.curves.empty
        assert found.probes.empty
    return row["state"], found.reasons.get(run.name, "")


def emptied(content: bytes) -> bytes:
    return b""


def cut(content: bytes) -> bytes:
    return content[: content.rfind(b"\n", 0, -1) + 1]


def swapped(content: bytes) -> bytes:
    first, second, *rest = content.splitlines(keepends=True)
    return b"".join([second, first, *rest])


def a_line_lost(content: bytes) -> bytes:
    first, _, *rest = content.splitlines(keepends=True)
    return b"".join([first, *rest])


def a_digit_changed(content: bytes) -> bytes:
    place = next(i for i, letter in enumerate(content) if letter in b"2468")
    return content[:place] + bytes([content[place] + 1]) + content[place + 1 :]


def flipped(content: bytes) -> bytes:
    return content[:-20] + bytes([content[-20] ^ 1]) + content[-19:]


def grown(content: bytes) -> bytes:
    return content + b"\n"


CHANGES = [emptied, cut, a_line_lost, swapped, a_digit_changed, flipped, grown]
FILES = ["metrics.jsonl", "probes.jsonl", "manifest.json", "DONE"]


def test_what_was_written_is_as_it_was_written(run):
    assert read(run) == ("finished", "")
    assert run.done
    assert run.fault() is None
    seal = json.loads((run.path / "DONE").read_text())
    assert seal["run"] == run.name
    assert seal["files"]["metrics.jsonl"]["lines"] == 6
    assert sorted(seal["files"]) == sorted(p.name for p in run.path.iterdir() if p.name != "DONE")


@pytest.mark.parametrize("change", [*CHANGES, None], ids=lambda f: f and f.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_not_as_it_was_written_is_damage(run, name, change):
    path = run.path / name
    if change is None:
        path.unlink()
        expected = "interrupted" if name == "DONE" else "damaged"
    else:
        content = path.read_bytes()
        lines = content.count(b"\n") > 1 or change not in (cut, a_line_lost, swapped)
        damaged = change(content) if lines else content[:-7]
        assert damaged != path.read_bytes()
        path.write_bytes(damaged)
        expected = "damaged"
    state, reason = read(run)
    assert state == expected
    if state == "damaged":
        assert str(run.path) in reason
        assert "\n" not in reason
        assert not run.done
        with pytest.raises(NormbenchError, match="damaged"):
            read_record(ExperimentStore(run.path.parent.parent, "tiny"), run.name)


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_the_disk_does_not_give_back_is_damage_of_its_run_alone(run, name):
    (run.path / name).unlink()
    (run.path / name).mkdir()  # read, it is an error of the system, as a bad block is
    state, reason = read(run)
    assert state == "damaged"
    assert f"{name} is damaged (is a directory)" in reason
    assert run.fault() is not None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes that have a name")
@pytest.mark.parametrize("name", FILES)
def test_nobody_waits_for_a_pipe_in_the_place_of_a_file(run, name):
    (run.path / name).unlink()
    os.mkfifo(run.path / name)
    assert read(run)[0] == "damaged"
    assert run.fault() is not None


NO_MEMORY_HAS = 2**43  # and a file without content takes no room on the disk


@pytest.mark.parametrize("name", [*FILES, "config.yaml", "checkpoint.pt"])
def test_a_file_that_is_too_long_is_damaged_before_it_is_read(run, name):
    os.truncate(run.path / name, NO_MEMORY_HAS)
    assert read(run)[0] == "damaged"
    assert "grown" in str(run.fault())
    with pytest.raises(NormbenchError, match="grown"):
        read_record(ExperimentStore(run.path.parent.parent, "tiny"), run.name)


@pytest.mark.parametrize("name", FILES)
def test_without_a_seal_no_more_of_a_file_is_read_than_can_be_of_use(run, name):
    unseal(run.path)
    os.truncate(run.path / name, NO_MEMORY_HAS)
    assert read(run)[0] == "damaged"
    assert run.fault() is not None


@pytest.mark.parametrize("known", [True, False])
def test_of_a_checkpoint_that_is_too_long_nothing_is_read(tmp_path, digits, known):
    play(tmp_path, experiment(*ONE), digits, lambda _: stops(4))
    (planned,) = expand(experiment(*ONE))
    run = ExperimentStore(tmp_path, "tiny").run(planned.folder)
    if not known:
        unseal(run.path)
        (run.path / "DONE").unlink()
    os.truncate(run.path / "checkpoint.pt", NO_MEMORY_HAS)
    state, (fault,) = run.good_checkpoint()
    assert state is None
    assert "checkpoint.pt is damaged (grown" in fault


def test_the_state_of_another_run_is_not_continued(tmp_path, digits):
    play(tmp_path, experiment("norms=[none]"), digits, lambda _: stops(4))
    store = ExperimentStore(tmp_path, "tiny")
    first, second = store.folders()
    shutil.rmtree(store.path / first)
    shutil.copytree(store.path / second, store.path / first)
    state, (fault,) = store.run(first).good_checkpoint()
    assert state is None
    assert "of another run" in fault
    assert store.run(second).good_checkpoint() == (b"weights", [])


@pytest.mark.parametrize("name", ["config.yaml", "checkpoint.pt", "probes.jsonl"])
def test_a_file_that_is_not_read_must_have_its_size_and_trained_again_its_content(run, name):
    path = run.path / name
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert read(run, probes=False)[0] == "damaged"
    path.write_bytes(flipped(b"." * 30 + whole)[30:] if len(whole) > 20 else whole[:-1] + b"!")
    assert run.fault() is not None
    path.write_bytes(whole)
    assert run.fault() is None


def test_probes_are_not_shown_where_they_are_not_what_was_written(run):
    assert len(read_probes(run.path)) == 3
    path = run.path / "probes.jsonl"
    path.write_bytes(a_digit_changed(path.read_bytes()))
    with pytest.raises(NormbenchError, match=r"probes\.jsonl is damaged"):
        read_probes(run.path)


def test_the_files_of_another_run_are_damage(tmp_path, digits):
    play(tmp_path, experiment(), digits, lambda r: finishes({0: 0.1, 12: 0.5 + 0.1 * r.seed}))
    one, two = (ExperimentStore(tmp_path, "tiny").run(r.folder) for r in expand(experiment())[:2])
    shutil.rmtree(two.path)
    shutil.copytree(one.path, two.path)
    found = read_results(tmp_path, "tiny")
    assert found.runs["state"].tolist().count("damaged") == 1
    assert "it is of the run" in found.reasons[two.name]


def test_one_damaged_run_does_not_hide_the_others_and_is_told(tmp_path, digits):
    play(tmp_path, experiment(), digits, lambda _: finishes(CURVE))
    first = ExperimentStore(tmp_path, "tiny").run(expand(experiment())[0].folder)
    (first.path / "metrics.jsonl").write_bytes(b"")
    comparison = ExperimentResult(read_results(tmp_path, "tiny"))
    row = comparison.convergence.set_index("norm").loc["none"]
    assert (row["runs"], row["finished"], row["missing"]) == (2, 1, 1)
    told = " ".join(caveats(comparison))
    assert "1 of 4 runs has no result (1 damaged)" in told
    assert "metrics.jsonl is damaged (cut short: 0 bytes of" in told
    assert "`normbench train` with its config takes it up again" in told


def test_a_run_that_nobody_asked_for_and_cannot_be_read_is_told_too(tmp_path, digits):
    play(tmp_path, experiment("seeds=3"), digits, lambda _: finishes(CURVE))
    play(tmp_path, experiment("seeds=2"), digits, lambda _: None)
    extra = next(r for r in expand(experiment("seeds=3")) if r.seed == 2)
    path = tmp_path / "tiny" / extra.folder / "manifest.json"
    path.write_bytes(a_digit_changed(path.read_bytes()))
    found = read_results(tmp_path, "tiny")
    assert len(found.runs) == 5
    assert any("manifest.json is damaged" in note for note in found.notes)
    assert "left out" in " ".join(caveats(ExperimentResult(found)))


# --- results of an earlier normbench ---


def test_results_without_a_seal_load_and_are_told(run):
    unseal(run.path)
    found = read_results(run.path.parent.parent, "tiny")
    assert found.runs["state"].tolist() == ["finished"]
    assert found.unsealed == {run.name}
    assert "kept no sums" in " ".join(caveats(ExperimentResult(found)))
    assert run.done


@pytest.mark.parametrize("change", [emptied, cut, swapped])
def test_of_results_without_a_seal_the_ends_and_the_order_are_looked_at(run, change):
    unseal(run.path)
    path = run.path / "metrics.jsonl"
    content = path.read_bytes()
    if change is swapped:
        lines = content.splitlines(keepends=True)
        content, change = b"".join([*lines[:2], *lines[3:1:-1], *lines[4:]]), bytes
    path.write_bytes(change(content))
    assert read(run)[0] == "damaged"
    assert not run.done


# --- many damages ---


def test_of_random_damages_none_shows_another_number_without_a_word(run, tmp_path):
    rng = random.Random(0)
    good = {path.name: path.read_bytes() for path in run.path.iterdir()}
    plan = run.path.parent / "experiment.json"
    record = plan.read_bytes()
    want = ExperimentResult(read_results(tmp_path, "tiny")).to_dict()
    for _ in range(60):
        name = rng.choice([*sorted(good), "experiment.json"])
        content = bytearray(record if name == "experiment.json" else good[name])
        place = rng.randrange(len(content))
        kind = rng.choice(["flip", "cut", "insert", "zeros"])
        if kind == "flip":
            content[place] ^= 1 << rng.randrange(8)
        elif kind == "cut":
            del content[place:]
        elif kind == "insert":
            content[place:place] = rng.randbytes(3)
        else:
            content[place:] = bytes(len(content) - place)
        target = plan if name == "experiment.json" else run.path / name
        target.write_bytes(content)
        found = read_results(tmp_path, "tiny")
        state = found.runs["state"].tolist()
        if state == ["finished"]:
            assert ExperimentResult(found).to_dict() == want or found.notes, (name, kind, place)
        else:
            assert state == ["damaged"]
        target.write_bytes(record if name == "experiment.json" else good[name])
    assert read(run)[0] == "finished"


# --- trained again ---


class Notes(NullObserver):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def trained(tmp_path_factory, digits) -> Path:
    root = tmp_path_factory.mktemp("trained")
    normbench.train(experiment(*ONE), results=root, jobs=1)
    return root


@pytest.mark.parametrize(
    ("name", "change", "again"),
    [
        ("metrics.jsonl", emptied, "from step 0"),
        ("metrics.jsonl", a_digit_changed, "from step 0"),
        ("probes.jsonl", cut, "from step 0"),
        ("manifest.json", flipped, "trained again"),
        ("DONE", emptied, "trained again"),
        ("checkpoint.pt", flipped, "from step 0"),
        ("config.yaml", flipped, "trained again"),
    ],
)
def test_a_damaged_run_is_trained_again_to_the_same_bytes(trained, tmp_path, name, change, again):
    want = journals(trained / "tiny")
    shutil.copytree(trained / "tiny", tmp_path / "tiny")
    (path,) = tmp_path.glob(f"tiny/*/{name}")
    path.write_bytes(change(path.read_bytes()))
    watch = Notes()
    found = normbench.train(experiment(*ONE), results=tmp_path, jobs=1, watch=watch)
    assert found.results.runs["state"].tolist() == ["finished"]
    assert journals(tmp_path / "tiny") == want
    assert any(name in note for note in watch.notes)
    assert again in " ".join(watch.notes)
    (run,) = ExperimentStore(tmp_path, "tiny").folders()
    assert ExperimentStore(tmp_path, "tiny").run(run).done
    aside = list((tmp_path / "tiny" / ".set-aside").glob("*"))
    assert bool(aside) == ("from step 0" in again)  # nothing that was there is lost


def test_a_lost_record_does_not_keep_anyone_from_training(trained, tmp_path):
    shutil.copytree(trained / "tiny", tmp_path / "tiny")
    for path in (tmp_path / "tiny").glob("experiment*.json"):
        path.write_bytes(b"")
    found = normbench.train(experiment(*ONE), results=tmp_path, jobs=1)
    assert found.outcome is not None
    assert (found.outcome.skipped, found.outcome.finished) == (1, 0)
    assert found.results.runs["state"].tolist() == ["finished"]
    assert ExperimentStore(tmp_path, "tiny").plan_and_fault()[1] == ""


def test_a_run_that_was_resealed_by_hand_counts(run):
    path = run.path / "metrics.jsonl"
    path.write_bytes(path.read_bytes().replace(b"0.7", b"0.8"))
    assert not run.done
    reseal(run.path)
    assert run.done
