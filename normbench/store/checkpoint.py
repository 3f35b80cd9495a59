"""The files of a run's checkpoints, and what tells that one is whole where no sum was kept."""

from __future__ import annotations

import io
import zipfile

CHECKPOINT, BEFORE, BAD = "checkpoint.pt", "checkpoint.before.pt", "checkpoint.damaged.pt"
"""The last one, the one before it, and one that was passed over because it is damaged."""


def is_archive(content: bytes) -> bool:
    """Whether these are the bytes of an archive, as ``torch.save`` makes them, and its sums hold.

    torch itself does not look at the sums.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            whole = any(name.endswith("/data.pkl") for name in archive.namelist())
            return whole and archive.testzip() is None
    except Exception:  # a damaged archive fails in any of the ways there are
        return False
