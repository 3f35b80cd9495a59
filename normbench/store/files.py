"""Writing so that a reader, or a crash, never meets half a file."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from normbench.atomic import replace_with
from normbench.errors import StoreError

REMEDY = "`normbench train` with its config trains what is lost again and keeps the rest"


@contextmanager
def reported(path: Path | str, doing: str, option: str = "--results") -> Iterator[None]:
    """Turn the system's refusals within this context into a StoreError that names the place.

    option: the command line option that chooses another place.
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        remedy = "make this one writable"
        if error.errno in _NO_ROOM:
            reason += _free(Path(path))
            remedy = "make room"
        raise StoreError(
            f"cannot {doing} {path}: {reason}\n"
            f"    choose another place with {option} DIR, or {remedy}"
        ) from error


_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


def _free(path: Path) -> str:
    """How much room is left where ``path`` is; empty where the system does not say."""
    for folder in path.absolute().parents:
        with suppress(OSError):
            return f" ({shutil.disk_usage(folder).free / 1e6:.1f} MB free in {folder})"
    return ""


def write_atomically(
    path: Path,
    content: bytes | str,
    option: str = "--results",
    *,
    durable: bool = True,
    name: bool = True,
) -> None:
    """Replace ``path`` with ``content`` in one step. Raises StoreError, as ``reported`` does.

    durable, name: see ``atomic.replacing``.
    """
    data = content.encode() if isinstance(content, str) else content
    with reported(path, "write", option):
        replace_with(path, data, durable=durable, name=name)


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON without NaN: every non-finite number becomes null."""
    return json.dumps(finite(value), indent=indent, allow_nan=False)


def finite(value: Any) -> Any:
    """``value`` with None in place of non-finite floats, at any depth."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value


class Damaged(StoreError):
    """A file of ours is not what was written: ``path`` is where it is, ``reason`` what is wrong."""

    def __init__(self, path: Path | str, reason: str):
        self.path, self.reason = str(path), reason
        super().__init__(f"{path} is damaged ({reason})\n    {REMEDY}")


_SUM = re.compile(rb', "seal": "([0-9a-f]{64})"}\n\Z')


def with_sum(text: str) -> bytes:
    """A JSON object with the SHA-256 of its text as its last key, ``seal``, and a line's end."""
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f'{text[:-1]}, "seal": "{digest}"}}\n'.encode()


def check_sum(content: bytes, path: Path | str) -> None:
    """Raise Damaged unless ``content`` is what ``with_sum`` made."""
    stated = _SUM.search(content, max(0, len(content) - 100))
    if stated is None:
        raise Damaged(path, "its seal is not what was written")
    if hashlib.sha256(content[: stated.start()] + b"}").hexdigest() != stated[1].decode():
        raise Damaged(path, "its content is not what was written")


MOST_BYTES = 2**28
"""The most of one text, such as a manifest; the record of 100,000 runs has 2**25."""

MOST_OF_A_JOURNAL = 2**31
MOST_OF_A_CHECKPOINT = 2**35


def read_bytes(path: Path | str, most: int = MOST_BYTES) -> bytes | None:
    """The content of a file of at most ``most`` bytes, None if there is none.

    Raises Damaged, OSError.
    """
    try:
        with reading(path, most) as file:
            return file.read()
    except FileNotFoundError:
        return None


def size_of(path: Path | str) -> int | None:
    """How many bytes a file has, None if there is none. Raises Damaged, OSError."""
    try:
        with _damage(path):
            return _checked(path, os.stat(path))
    except FileNotFoundError:
        return None


# Without waiting for somebody to write into a pipe that has a file's name.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


@contextmanager
def reading(path: Path | str, most: int = MOST_BYTES) -> Iterator[BinaryIO]:
    """The open file. Raises FileNotFoundError, Damaged where it is no file, longer than ``most``
    bytes or not given back by the disk, which concerns it alone, and else OSError."""
    with _damage(path):
        handle = os.open(path, _READ)
        try:
            _checked(path, os.fstat(handle), most)
            file = open(handle, "rb")  # noqa: SIM115 - closed below
        except BaseException:
            os.close(handle)
            raise
        with file:
            yield file


def _checked(path: Path | str, found: os.stat_result, most: int | None = None) -> int:
    """The size of a file; Damaged before anything of it is read that may not end."""
    if stat.S_ISDIR(found.st_mode):
        raise Damaged(path, "is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise Damaged(path, "no file, but a pipe or a device")
    if most is not None and found.st_size > most:
        raise Damaged(path, f"grown: {found.st_size} bytes, and at most {most} can be of use")
    return found.st_size


_UNREADABLE = {  # as far as this system has them
    getattr(errno, name)
    for name in ("EIO", "EISDIR", "ELOOP", "EUCLEAN", "EBADMSG", "ENXIO")
    if hasattr(errno, name)
}


@contextmanager
def _damage(path: Path | str) -> Iterator[None]:
    """Turn into Damaged what concerns this file alone."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNREADABLE:
            raise
        raise Damaged(path, (error.strerror or "unreadable").lower()) from error
