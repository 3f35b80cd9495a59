"""The files of a run's checkpoints: how they are read, and what tells that one is whole."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from normbench.store.files import MOST_OF_A_CHECKPOINT, read_bytes

CHECKPOINT, BEFORE, BAD = "checkpoint.pt", "checkpoint.before.pt", "checkpoint.damaged.pt"
"""The last one, the one before it, and one that was passed over because it is damaged."""

# Journal events that a continued run makes again when they stand at the checkpoint's own step.
_MADE_AGAIN = {"epoch", "probe", "test", "diverged"}


def is_kept(event: Mapping[str, Any], step: int) -> bool:
    """Whether an event of a journal stays when the run goes on from a checkpoint of ``step``."""
    return event["step"] < step or (event["step"] == step and event["event"] not in _MADE_AGAIN)


def read_checkpoint(path: Path, entries: Iterable[Mapping[str, Any]]) -> bytes | None:
    """The content of a checkpoint, None if there is none; nothing is read of one that is too long.

    entries: what a manifest says of those that were written. Raises Damaged, OSError.
    """
    sizes = [entry.get("bytes", MOST_OF_A_CHECKPOINT) for entry in entries]
    return read_bytes(path, max(sizes, default=MOST_OF_A_CHECKPOINT))


def is_archive(content: bytes) -> bool:
    """Whether these are the bytes of an archive, as ``torch.save`` makes them, and its sums hold.

    For where no sum of the whole was kept. torch itself does not look at the sums.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            whole = any(name.endswith("/data.pkl") for name in archive.namelist())
            return whole and archive.testzip() is None
    except Exception:  # a damaged archive fails in any of the ways there are
        return False
