"""Where the cache and the data are."""

from __future__ import annotations

import getpass
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "NORMBENCH_CACHE_DIR"
DATA_VARIABLE = "NORMBENCH_DATA_DIR"


def cache_root(note: Callable[[str], None]) -> Path:
    """``NORMBENCH_CACHE_DIR``, else the user's cache; a temporary folder if it is unwritable.

    note: is told of the latter.
    """
    named = os.environ.get(CACHE_VARIABLE)
    wanted = Path(named).expanduser().absolute() if named else _user_cache()
    if _writable(wanted):
        return wanted
    fallback = _temporary_cache()
    note(f"the cache {wanted} cannot be written; using {fallback} ({CACHE_VARIABLE} moves it)")
    return fallback


def data_root(data_dir: Path | None, cache: Path) -> Path:
    """``data_dir``, else ``NORMBENCH_DATA_DIR``, else ``data/`` in the cache."""
    if data_dir is not None:
        return Path(data_dir).expanduser().absolute()
    named = os.environ.get(DATA_VARIABLE)
    return Path(named).expanduser().absolute() if named else cache / "data"


def is_read_only(folder: Path) -> bool:
    """Whether the folder, or the one it would be made in, is closed to us or marked read-only.

    The superuser may write anywhere; a folder without any write bit is left alone even so.
    """
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return not os.access(folder, os.W_OK) or not folder.stat().st_mode & 0o222


def _user_cache() -> Path:
    return platformdirs.user_cache_path("normbench", appauthor=False)


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _temporary_cache() -> Path:
    """The same folder every time, unless someone else made it first."""
    folder = Path(tempfile.gettempdir()) / f"normbench-{getpass.getuser()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        ours = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
    except OSError:
        ours = False
    if ours and not folder.is_symlink() and _writable(folder):
        return folder
    return Path(tempfile.mkdtemp(prefix="normbench-"))
