"""Replaces files so that a reader, a crash or a power cut never meets half of one.

The new content is written under another name in the same folder and brought to the disk, then takes
the place of the old one in a single step, and that step is brought to the disk too. Everything that
normbench leaves behind is written here: results, caches, downloads, exports.
"""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

SUFFIX = ".tmp"
"""How the name of a file ends that has not yet taken its place; it begins with a dot."""

_NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EPERM)


@contextmanager
def replacing(path: Path, *, durable: bool = True, name: bool = True) -> Iterator[BinaryIO]:
    """A new file, open for writing, that becomes ``path`` when the context ends without an error.

    durable: whether it must outlast a power cut; not so what will be written again, or brought to
    the disk later, which ``sync`` does. name: whether its name must be there at once; not so where
    another file of the folder follows. Raises OSError; what stood at ``path`` is then still there,
    and nothing else is left behind.
    """
    temporary = path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}{SUFFIX}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
    if durable and name:
        sync_folder(path.parent)


def replace_with(path: Path, content: bytes, *, durable: bool = True, name: bool = True) -> None:
    """Put ``content`` in the place of ``path``: see ``replacing``. Raises OSError."""
    with replacing(path, durable=durable, name=name) as file:
        file.write(content)


def sync(path: Path) -> None:
    """Bring the content of a file to the disk. Raises OSError."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system can. Raises OSError."""
    if os.name == "nt":  # a folder cannot be opened there
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:  # some file systems keep no such promise
        if error.errno not in _NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def rename(old: Path, new: Path) -> None:
    """Give a file another name in the same folder, replacing one of that name. Raises OSError.

    Either may be a folder that stands in a file's place. The name is on the disk with the next file
    that is brought there, or ``sync_folder``.
    """
    if old.is_dir() or new.is_dir():
        remove(new)
    os.replace(old, new)


def remove(path: Path) -> None:
    """Remove a file, or the folder that stands in its place, if there is one. Raises OSError."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> None:
    """Remove what a process that was killed left half-written below ``folder``.

    Only for who alone writes there. What cannot be removed stays, and harms nobody.
    """
    for path in folder.rglob(f".*{SUFFIX}"):
        with suppress(OSError):
            path.unlink()
