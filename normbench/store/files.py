"""Writing so that a reader, or a crash, never meets half a file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic_core import from_json  # reads many times faster than json

from normbench.errors import StoreError


@contextmanager
def reported(path: Path | str, doing: str, option: str = "--results") -> Iterator[None]:
    """Turn the system's refusals within this context into a StoreError that names the place.

    option: the command line option that chooses another place.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(
            f"cannot {doing} {path}: {reason.lower()}\n"
            f"    choose another place with {option} DIR, or make this one writable"
        ) from error


def write_atomically(path: Path, content: bytes | str, option: str = "--results") -> None:
    """Replace ``path`` with ``content`` in one step. Raises StoreError, as ``reported`` does."""
    data = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with reported(path, "write", option):
        try:
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


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
