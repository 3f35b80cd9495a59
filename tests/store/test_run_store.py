"""One run's folder: its name, its journals, and the order in which it is written."""

from __future__ import annotations

import errno
import itertools
import json
import os
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from normbench.errors import StoreError
from normbench.store import SCHEMA, RunStore
from normbench.store import run as run_module
from normbench.store.run import run_name

HASH = "0123456789abcdef" * 4
MANIFEST = {
    "norm": "batch",
    "seed": 0,
    "method": "m",
    "context": "c",
    "data": {"dataset": "digits", "fingerprint": "f"},
}


def metrics(*steps: int, kind: str = "eval") -> list[dict[str, object]]:
    numbers = dict.fromkeys(("val_loss", "val_accuracy", "train_loss", "train_seconds"), 0.5)
    more = {"eval": numbers, "epoch": {"epoch": 0, "batches_sha256": "sum"}, "probe": {}}
    return [{"event": kind, "step": step, **more[kind]} for step in steps]


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    """A run that was written up to step 8 and not closed."""
    found = RunStore(tmp_path / "run")
    found.open({"seed": 0}, MANIFEST, None)
    for event in [
        *metrics(0),
        *metrics(0, kind="epoch"),
        *metrics(4),
        *metrics(4, kind="epoch"),
        *metrics(8),
    ]:
        found.append("metrics", event)
    for event in metrics(*range(8), kind="probe"):
        found.append("probes", event)
    return found


def lines(store: RunStore, name: str) -> list[tuple[str, int]]:
    text = (store.path / f"{name}.jsonl").read_text()
    return [(e["event"], e["step"]) for e in map(json.loads, text.splitlines())]


def test_a_run_that_is_being_cleared_is_none_any_more(store, monkeypatch):
    store.write_checkpoint(b"state", 8)
    store.close("finished", done=True)

    def cut(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(run_module.shutil, "rmtree", cut)
    with pytest.raises(KeyboardInterrupt):
        store.clear()
    assert not store.done
    assert store.read_manifest() is None
    assert store.checkpoint() is None


# --- names ---


@pytest.mark.parametrize(
    ("norm", "point", "seed", "name"),
    [
        ("batch", {}, 0, "batch-s0-01234567"),
        ("layer", {"model.depth": 20, "optimizer.lr": 0.01}, 3, "layer-20-0.01-s3-01234567"),
        ("group(groups=4)", {}, 12, "group-groups=4-s12-01234567"),
        ("my norm", {"data.path": "/a b/ü"}, 0, "my-norm-a-b-s0-01234567"),
    ],
)
def test_a_folder_is_named_after_norm_values_seed_and_hash(norm, point, seed, name):
    assert run_name(norm, point, seed, HASH) == name


labels = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9 ._()=+-]{0,39}", fullmatch=True)
values = st.text(max_size=40) | st.floats() | st.integers() | st.booleans() | st.none()


@given(labels, st.dictionaries(st.text(), values, max_size=3), st.integers(0, 2**63 - 1))
def test_a_folder_name_is_safe_in_any_file_system(norm, point, seed):
    name = run_name(norm, point, seed, HASH)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._=+-]*", name)
    assert name.endswith(f"-s{seed}-01234567")


def test_a_folder_name_is_never_too_long():
    assert len(run_name("x" * 40, {"data.path": "/folder" * 40}, 0, HASH)) <= 255


# --- journals ---


def test_a_line_can_be_read_as_soon_as_it_is_written(store: RunStore):
    assert lines(store, "metrics")[-1] == ("eval", 8)
    assert lines(store, "probes")[-1] == ("probe", 7)


def test_a_line_holds_null_instead_of_nan(store: RunStore):
    store.append("metrics", {"event": "eval", "step": 9, "val_loss": float("nan")})
    last = (store.path / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["val_loss"] is None


@pytest.mark.parametrize(
    ("step", "kept", "probes"),
    [
        (0, [("eval", 0)], []),
        (3, [("eval", 0), ("epoch", 0)], [0, 1, 2]),
        # At step 4 the evaluation was made; the epoch that begins there is drawn again.
        (4, [("eval", 0), ("epoch", 0), ("eval", 4)], [0, 1, 2, 3]),
        (5, [("eval", 0), ("epoch", 0), ("eval", 4), ("epoch", 4)], [0, 1, 2, 3, 4]),
        (
            8,
            [("eval", 0), ("epoch", 0), ("eval", 4), ("epoch", 4), ("eval", 8)],
            list(range(8)),
        ),
    ],
)
def test_a_continued_run_keeps_what_happened_up_to_its_checkpoint(store, step, kept, probes):
    again = RunStore(store.path)
    again.open({"seed": 0}, {}, step)
    assert lines(again, "metrics") == kept
    assert [place for _, place in lines(again, "probes")] == probes
    again.append("metrics", *metrics(99))
    assert lines(again, "metrics") == [*kept, ("eval", 99)]


def test_a_continued_run_forgives_a_line_that_was_cut_short(store: RunStore):
    path = store.path / "metrics.jsonl"
    path.write_bytes(path.read_bytes() + b'{"event": "eval", "st')
    RunStore(store.path).open({}, {}, 8)
    assert lines(store, "metrics")[-1] == ("eval", 8)


def test_a_run_from_scratch_forgets_everything(store: RunStore):
    store.write_checkpoint(b"old", 8)
    (store.path / "DONE").write_text("")
    RunStore(store.path).open({}, {}, None)
    assert lines(store, "metrics") == []
    assert store.checkpoint() is None
    assert not store.done


def test_a_damaged_journal_stops_the_continuation(store: RunStore):
    path = store.path / "metrics.jsonl"
    path.write_bytes(b"{{\n" + path.read_bytes())
    with pytest.raises(StoreError, match="damaged"):
        RunStore(store.path).open({}, {}, 8)


# --- the rest ---


def test_the_manifest_carries_the_schema_and_what_is_added(store: RunStore):
    store.update(steps_done=8)
    assert store.read_manifest() == {
        "schema": SCHEMA,
        "state": "running",
        **MANIFEST,
        "steps_done": 8,
    }


def test_the_config_reads_back(store: RunStore):
    assert yaml.safe_load((store.path / "config.yaml").read_text()) == {"seed": 0}


def test_done_is_written_last(store: RunStore, monkeypatch):
    written: list[str] = []
    write = run_module.write_atomically

    def spy(path: Path, content: bytes | str, **how) -> None:
        assert not (store.path / "DONE").exists()
        written.append(path.name)
        write(path, content, **how)

    monkeypatch.setattr(run_module, "write_atomically", spy)
    store.close("finished", done=True)
    assert written == ["manifest.json", "DONE"]
    assert store.done
    assert (store.read_manifest() or {})["state"] == "finished"


def test_a_run_that_crashes_before_the_last_write_is_not_done(store: RunStore, monkeypatch):
    write = run_module.write_atomically

    def crash(path: Path, content: bytes | str, **how) -> None:
        if path.name == "DONE":
            raise KeyboardInterrupt
        write(path, content, **how)

    monkeypatch.setattr(run_module, "write_atomically", crash)
    with pytest.raises(KeyboardInterrupt):
        store.close("finished", done=True)
    assert not store.done


@pytest.mark.parametrize("state", ["failed", "interrupted"])
def test_a_run_that_did_not_end_is_not_done(store: RunStore, state: str):
    store.close(state, done=False, reason="why")
    assert not store.done
    assert (store.read_manifest() or {})["reason"] == "why"


def test_reopening_a_run_takes_its_done_away(store: RunStore):
    store.close("finished", done=True)
    again = RunStore(store.path)
    again.open({}, {}, 8)
    assert not again.done


def test_a_checkpoint_is_replaced_whole(store: RunStore, monkeypatch):
    assert store.checkpoint() is None
    store.write_checkpoint(b"one", 8)
    assert store.checkpoint() == b"one"
    replace = os.replace
    for survived in range(3):  # the manifest, the old checkpoint's name, the new checkpoint
        again, calls = RunStore(store.path), itertools.count()
        again.open({}, MANIFEST, 8)

        def crash(*names, calls=calls, survived=survived) -> None:
            if next(calls) == survived:
                raise KeyboardInterrupt
            replace(*names)

        monkeypatch.setattr(os, "replace", crash)
        with pytest.raises(KeyboardInterrupt):
            again.write_checkpoint(b"two", 8)
        monkeypatch.setattr(os, "replace", replace)
        assert RunStore(store.path).checkpoint() == b"one"
    again = RunStore(store.path)
    again.open({}, MANIFEST, 8)
    again.write_checkpoint(b"two", 8)
    assert RunStore(store.path).checkpoint() == b"two"


def folder_in_place(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.unlink()
    path.mkdir()
    (path / "inside").write_bytes(b"it")


def bad_block(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.open

    def fails(name: str | Path, flags: int, *args: int, **options: int) -> int:
        if Path(name) == path and flags & (os.O_WRONLY | os.O_RDWR) == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(name))
        return really(name, flags, *args, **options)

    monkeypatch.setattr(os, "open", fails)


@pytest.mark.parametrize("damage", [folder_in_place, bad_block])
def test_a_checkpoint_that_cannot_be_read_is_set_aside_for_the_one_before_it(
    store: RunStore, monkeypatch, damage
):
    store.write_checkpoint(b"earlier", 4)
    store.write_checkpoint(b"later", 8)
    damage(store.path / "checkpoint.pt", monkeypatch)
    state, faults = store.good_checkpoint()
    assert state == b"earlier"
    assert len(faults) == 1
    store.open({"seed": 0}, MANIFEST, 4)
    monkeypatch.undo()
    assert (store.path / "checkpoint.pt").read_bytes() == b"earlier"
    assert (store.path / "checkpoint.damaged.pt").exists()
    store.write_checkpoint(b"again", 8)
    store.close("finished", done=True)
    assert not (store.path / "checkpoint.damaged.pt").exists()
    assert store.done


def test_folders_in_the_place_of_both_checkpoints_do_not_keep_a_run_from_starting_again(store):
    store.write_checkpoint(b"state", 8)
    for name in ("checkpoint.pt", "checkpoint.before.pt"):
        (store.path / name).unlink(missing_ok=True)
        (store.path / name).mkdir()
    store.open({"seed": 0}, MANIFEST, None)
    (store.path / "checkpoint.before.pt").mkdir()
    store.write_checkpoint(b"one", 4)
    store.write_checkpoint(b"two", 8)
    store.close("finished", done=True)
    assert store.done


def test_clearing_removes_the_folder_and_may_be_done_twice(store: RunStore):
    store.clear()
    assert not store.path.exists()
    store.clear()


def test_a_damaged_manifest_is_refused_by_name(store: RunStore):
    (store.path / "manifest.json").write_text('{"state": ')
    with pytest.raises(StoreError, match=r"manifest\.json is damaged"):
        store.read_manifest()
    assert RunStore(store.path / "nowhere").read_manifest() is None


def test_a_folder_that_cannot_be_made_is_a_store_error(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        RunStore(tmp_path / "file" / "run").open({}, {}, None)
    assert caught.value.exit_code == 4
