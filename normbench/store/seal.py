"""The seal of a run: what its files held when it ended, so that a changed one is noticed.

DONE, written last, holds the size and the SHA-256 of every file that counts, and of a journal the
number of its lines and the sum of its first and last one, for who reads no more. Every reader holds
what it reads against that before it shows a number; a file that it does not read must at least have
its size. Results of an earlier normbench have an empty DONE and are unsealed: of them only what
``journal.fault_of_an_ended_run`` says can be checked.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import SchemaValidator, ValidationError
from pydantic_core import core_schema as s

from normbench.constants import SCHEMA
from normbench.store.files import (
    MOST_OF_A_CHECKPOINT,
    Damaged,
    check_sum,
    read_bytes,
    size_of,
    to_json,
    with_sum,
)
from normbench.store.journal import fault_of_an_ended_run

DONE = "DONE"
SEALED = ("config.yaml", "manifest.json", "metrics.jsonl", "probes.jsonl", "checkpoint.pt")
"""The files of a run that a seal holds, as far as they are there."""

_ENTRY = s.typed_dict_schema(
    {
        "bytes": s.typed_dict_field(s.int_schema(strict=True, ge=0)),
        "lines": s.typed_dict_field(s.int_schema(strict=True, ge=0), required=False),
        "ends": s.typed_dict_field(s.str_schema(strict=True), required=False),
        "sha256": s.typed_dict_field(s.str_schema(strict=True)),
    }
)
_SEAL = SchemaValidator(
    s.typed_dict_schema(
        {
            "schema": s.typed_dict_field(s.int_schema(strict=True, le=SCHEMA)),
            "run": s.typed_dict_field(s.str_schema(strict=True)),
            "files": s.typed_dict_field(s.dict_schema(s.str_schema(), _ENTRY)),
            "seal": s.typed_dict_field(s.str_schema(strict=True)),
        }
    )
)


@dataclass(frozen=True)
class Seal:
    """files: name -> its bytes, sha256 and, of a journal, lines."""

    folder: str
    files: dict[str, dict[str, Any]]

    def read(self, name: str) -> bytes | None:
        """The content of the file ``name``; None where it has none. Raises Damaged, OSError.

        Nothing is read of one that has not its size.
        """
        self.check_size(name)
        path = f"{self.folder}/{name}"
        content = read_bytes(path, self.files[name]["bytes"]) if name in self.files else None
        self.check(name, content)
        return content

    def check(self, name: str, content: bytes | None) -> None:
        """Raise Damaged unless ``content`` is what the file ``name`` held."""
        known = self.files.get(name)
        self._check_size(name, None if content is None else len(content))
        if known is not None and hashlib.sha256(content or b"").hexdigest() != known["sha256"]:
            raise Damaged(f"{self.folder}/{name}", "its content is not what was written")

    def check_size(self, name: str) -> None:
        """Raise Damaged unless the file ``name`` is as long as it was; cheaper than ``check``."""
        self._check_size(name, size_of(f"{self.folder}/{name}"))

    def _check_size(self, name: str, size: int | None) -> None:
        path, known = f"{self.folder}/{name}", self.files.get(name)
        if known is None and size is not None:
            raise Damaged(path, "it was not there when the run ended")
        if known is not None and size is None:
            raise Damaged(path, "it is not there any more")
        if known is not None and size is not None and size != known["bytes"]:
            raise Damaged(path, _of_size(size, known["bytes"]))

    def check_ends(self, name: str, ends: list[bytes]) -> None:
        """Raise Damaged unless these are the first and the last line of the journal ``name``.

        ends: with their newlines; one if both are the same, none of an empty journal.
        """
        known = self.files.get(name)
        if known is not None and _sum_of(ends) != known.get("ends"):
            raise Damaged(f"{self.folder}/{name}", "its content is not what was written")

    def check_all(self) -> None:
        """Raise Damaged unless every file is what it was. Raises OSError."""
        for name in sorted({*SEALED, *self.files}):
            self.read(name)


def _sum_of(lines: list[bytes]) -> str:
    return hashlib.sha256(b"".join(lines)).hexdigest()


def _of_size(size: int, known: int) -> str:
    return f"{'cut short' if size < known else 'grown'}: {size} bytes of {known}"


def seal_text(folder: Path) -> bytes:
    """What DONE holds for the files that are in a run's folder now. Raises OSError."""
    files: dict[str, dict[str, Any]] = {}
    for name in SEALED:
        content = read_bytes(folder / name, MOST_OF_A_CHECKPOINT)
        if content is None:
            continue
        files[name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        if name.endswith(".jsonl"):
            lines = content.splitlines(keepends=True)
            ends = list(dict.fromkeys([*lines[:1], *lines[-1:]]))
            files[name] |= {"lines": len(lines), "ends": _sum_of(ends)}
    return with_sum(to_json({"schema": SCHEMA, "run": folder.name, "files": files}))


def check_unsealed(metrics: list[dict[str, Any]], path: str) -> None:
    """Raise Damaged where these cannot be all the events of a run that ended without a seal."""
    if fault := fault_of_an_ended_run(metrics):
        raise Damaged(path, fault)


def read_seal(folder: Path | str) -> Seal | None:
    """The seal of the run in ``folder``; None where it is unsealed. Raises Damaged, OSError.

    Call it only where there is a DONE.
    """
    path = f"{folder}/{DONE}"
    content = read_bytes(path)
    if not content:
        return None
    try:
        seal = _SEAL.validate_json(content)
    except ValidationError:
        raise Damaged(path, "it is no seal of this version") from None
    if seal["run"] != os.path.basename(os.fspath(folder)):
        raise Damaged(path, f"it is of the run {seal['run']!a}"[:300])
    check_sum(content, path)
    return Seal(str(folder), seal["files"])
