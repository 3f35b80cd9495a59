"""How many files a process may have open: too few end in the middle of anything, so look first."""

from __future__ import annotations

import errno

from normbench.errors import StoreError

NEEDED = 64
"""What training, charts and the libraries below them have open at a time, with room to spare."""


def allowed() -> int | None:
    """How many files may be open, after the limit is raised to ``NEEDED`` where it can be.

    None where the system has no such limit.
    """
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= NEEDED:
        return soft if soft >= 0 else None
    wanted = NEEDED if hard == resource.RLIM_INFINITY else min(NEEDED, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    except (OSError, ValueError):
        return soft
    return wanted


def require() -> None:
    """Raise StoreError where too few files may be open for what loads much."""
    limit = allowed()
    if limit is not None and limit < NEEDED:
        raise StoreError(too_many_open(limit))


def exhausted(error: BaseException | None) -> bool:
    """Whether an error, or what led to it, is that no file more may be opened."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        error = error.__cause__ or error.__context__
    return False


def too_many_open(limit: int | None) -> str:
    """The sentence, and what to do."""
    most = "" if limit is None else f": {limit} are allowed at a time"
    return f"too many open files{most}\n    allow more in this shell with `ulimit -n 256`"
