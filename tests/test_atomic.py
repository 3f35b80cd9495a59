"""A file is there whole or not at all, whatever goes wrong while it is written."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path

import pytest
from faults import raiser

from normbench import atomic
from normbench.atomic import replace_with, replacing, sync_folder

FAULTS = [
    OSError(errno.ENOSPC, "No space left on device"),
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.EACCES, "Permission denied"),
    OSError(errno.EXDEV, "Invalid cross-device link"),
    KeyboardInterrupt(),
]


class HalfWritten(io.FileIO):
    """A disk that takes half of what it is given, then fails."""

    error: BaseException

    def write(self, data) -> int:
        super().write(data[: len(data) // 2])
        raise self.error


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "a.json"
    replace_with(path, b"old")
    return path


@pytest.mark.parametrize("place", ["open", "write", "fsync", "replace"])
@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_a_fault_leaves_the_old_file_and_nothing_else(old, monkeypatch, place, error):
    if place == "open":
        monkeypatch.setattr(atomic, "open", raiser(error), raising=False)
    elif place == "write":
        monkeypatch.setattr(HalfWritten, "error", error, raising=False)
        monkeypatch.setattr(atomic, "open", lambda p, _: HalfWritten(p, "x"), raising=False)
    else:
        monkeypatch.setattr(os, place, raiser(error))
    with pytest.raises(type(error)):
        replace_with(old, b"new and longer")
    assert old.read_bytes() == b"old"
    assert os.listdir(old.parent) == ["a.json"]


def test_an_error_of_who_writes_leaves_the_old_file(old):
    with pytest.raises(TypeError), replacing(old) as file:
        file.writelines([b"half", None])
    assert old.read_bytes() == b"old"
    assert os.listdir(old.parent) == ["a.json"]


def test_content_is_on_the_disk_before_the_name_and_the_name_before_it_is_done(old, monkeypatch):
    order: list[str] = []
    replace, fsync = os.replace, os.fsync

    def synced(handle: int) -> None:
        name = os.path.basename(os.readlink(f"/proc/self/fd/{handle}"))
        order.append("folder" if name == old.parent.name else "content")
        fsync(handle)

    def renamed(*names) -> None:
        order.append("rename")
        replace(*names)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "replace", renamed)
    replace_with(old, b"new")
    assert order == ["content", "rename", "folder"]
    assert old.read_bytes() == b"new"


def test_a_new_file_has_the_rights_that_the_system_gives_files(tmp_path):
    (tmp_path / "plain").touch()
    replace_with(tmp_path / "a", b"")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_file_system_that_cannot_sync_a_folder_is_no_fault(tmp_path, monkeypatch, number):
    monkeypatch.setattr(os, "fsync", raiser(OSError(number, "no")))
    sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", raiser(OSError(errno.EIO, "no")))
    with pytest.raises(OSError, match="no"):
        sync_folder(tmp_path)
