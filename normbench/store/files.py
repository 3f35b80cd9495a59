"""Writing so that a reader, or a crash, never meets half a file."""

from __future__ import annotations

import errno
import json
import math
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json  # reads many times faster than json

from normbench.atomic import replace_with
from normbench.errors import StoreError


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


def write_atomically(path: Path, content: bytes | str, option: str = "--results") -> None:
    """Replace ``path`` with ``content`` in one step. Raises StoreError, as ``reported`` does."""
    data = content.encode() if isinstance(content, str) else content
    with reported(path, "write", option):
        replace_with(path, data)


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


def read_json_lines(path: Path | str) -> list[dict[str, Any]]:
    """The events of a journal, without a last line that a crash cut short; [] if absent."""
    try:
        with open(path, "rb") as journal:
            content = journal.read()
    except FileNotFoundError:
        return []
    whole = content[: content.rfind(b"\n") + 1]
    with parsed(path):
        return from_json(b"[" + whole.rstrip().replace(b"\n", b",") + b"]")


@contextmanager
def parsed(path: Path | str) -> Iterator[None]:
    """Turn a syntax error in a file of ours into a StoreError that names the file."""
    try:
        yield
    except ValueError as error:
        raise StoreError(
            f"{path} is damaged ({error})\n    delete its folder and train again"
        ) from error
