"""Files on disk: a reader, or a crash, never meets half a file, and every fault names its place."""

from __future__ import annotations

import errno
import json
import math
import os
import socket
from pathlib import Path

import pytest
from faults import raiser
from hypothesis import given
from hypothesis import strategies as st

from normbench.errors import StoreError
from normbench.store.files import (
    Damaged,
    finite,
    read_bytes,
    reported,
    size_of,
    to_json,
    write_atomically,
)


def test_a_file_is_replaced_whole(tmp_path: Path):
    path = tmp_path / "a.json"
    write_atomically(path, "old")
    write_atomically(path, b"new")
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.json"]


def test_a_full_disk_is_told_with_the_room_there_is(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    write_atomically(path, "old")
    monkeypatch.setattr(os, "fsync", raiser(OSError(errno.ENOSPC, "No space left on device")))
    told = r"a\.json: no space left on device \([\d.]+ MB free"
    with pytest.raises(StoreError, match=told) as found:
        write_atomically(path, "new")
    assert "make room" in str(found.value)
    assert path.read_text() == "old"


def test_a_file_that_cannot_be_written_names_itself_and_the_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError) as caught:
        write_atomically(tmp_path / "file" / "a.json", "new")
    text = str(caught.value)
    assert f"cannot write {tmp_path / 'file' / 'a.json'}: not a directory" in text
    assert "--results" in text
    assert caught.value.exit_code == 4


def test_other_errors_than_the_systems_pass_through(tmp_path):
    with pytest.raises(ZeroDivisionError), reported(tmp_path, "read"):
        1 / 0  # noqa: B018


numbers = st.floats() | st.integers() | st.booleans() | st.none() | st.text()
trees = st.recursive(
    numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def has_non_finite(value: object) -> bool:
    if isinstance(value, dict):
        return any(map(has_non_finite, value.values()))
    if isinstance(value, list):
        return any(map(has_non_finite, value))
    return isinstance(value, float) and not math.isfinite(value)


@given(trees)
def test_json_has_null_where_a_number_is_not_finite(tree):
    def refuse(word: str) -> None:
        raise AssertionError(word)

    back = json.loads(to_json(tree), parse_constant=refuse)
    assert not has_non_finite(back)
    if not has_non_finite(tree):
        assert back == tree


def test_finite_keeps_everything_else():
    assert finite({"a": [1, True, None, "x", 0.5, (math.nan, math.inf)]}) == {
        "a": [1, True, None, "x", 0.5, [None, None]]
    }


LONG = 2**43  # sparse: it takes no room, and no memory has room for it


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes that have a name")
@pytest.mark.parametrize("what", ["long", "a pipe", "a device", "a folder", "a socket"])
def test_what_may_not_end_is_damaged_before_it_is_read(tmp_path, what):
    path = tmp_path / "manifest.json"
    if what == "long":
        path.write_bytes(b"{}")
        os.truncate(path, LONG)
    elif what == "a pipe":
        os.mkfifo(path)
    elif what == "a device":
        path.symlink_to("/dev/zero")
    elif what == "a folder":
        path.mkdir()
    else:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(os.path.relpath(path))
    with pytest.raises(Damaged):
        read_bytes(path)
    if what != "long":
        with pytest.raises(Damaged):
            size_of(path)
    assert size_of(tmp_path / "none") is None
