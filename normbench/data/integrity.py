"""Checksums: of a file, of a folder's SHA256SUMS, and what to say when one does not match."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

from normbench.atomic import replace_with
from normbench.errors import DataError

SUMS = "SHA256SUMS"
REMEDY = "delete the file and run again to download it anew, or put a good copy in its place"


def file_digest(path: Path, algorithm: str) -> str:
    """The hexadecimal digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(
            file, lambda: hashlib.new(algorithm, usedforsecurity=False)
        ).hexdigest()


def mismatch(algorithm: str, actual: str, expected: str) -> str | None:
    """The fault in words, or None when the digests agree."""
    if actual == expected:
        return None
    return f"altered or truncated ({algorithm} is {actual[:16]}…, expected {expected[:16]}…)"


def raise_faults(faults: Iterable[tuple[Path, str | None]]) -> None:
    """Raise one DataError that names every faulty file; do nothing when there is none."""
    bad = [f"{path}: {fault}" for path, fault in faults if fault]
    if bad:
        raise DataError("\n".join([*bad, f"    {REMEDY}"]))


def read_sums(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 from the folder's SHA256SUMS; empty where there is none."""
    path = folder / SUMS
    try:
        lines = path.read_text("utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: unreadable ({error})\n    {REMEDY}") from None
    sums = {}
    for line in filter(None, lines):
        digest, separator, name = line.partition("  ")
        if not separator or len(digest) != 64:
            raise DataError(f"{path}: not in the format of sha256sum\n    {REMEDY}")
        sums[name] = digest
    return sums


def add_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Record digests in the folder's SHA256SUMS, beside those it has. ``sha256sum -c`` reads it."""
    merged = read_sums(folder) | dict(sums)
    text = "".join(f"{digest}  {name}\n" for name, digest in sorted(merged.items()))
    replace_with(folder / SUMS, text.encode())
