"""Starts processes for training, soon and without the caller's ``__main__``.

Nothing here imports torch: a command starts the processes first, and imports while they do.
"""

from __future__ import annotations

import atexit
import importlib
import multiprocessing
import os
import platform
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType

from normbench.interrupts import STOPPING

PRELOADED = ["normbench.execution.worker"]

_started = False  # whether a worker ever was
_main_lock = threading.Lock()


def allocator() -> dict[str, str]:
    """Environment variables for processes that train.

    Every step frees and allocates the same large tensors. glibc would hand each back to the system
    and fault it in again page by page, a tenth of a CNN's training time; with these it keeps them,
    in huge pages where the system gives those for the asking. Nothing for other allocators, nor
    for a glibc before 2.35, which knows no huge pages and refuses so high a threshold.
    """
    name, version = platform.libc_ver()
    if name != "glibc" or tuple(map(int, version.split(".")[:2])) < (2, 35):
        return {}
    tunables = {"hugetlb": 1, "mmap_threshold": 2**30, "trim_threshold": 2**32}
    return {
        "GLIBC_TUNABLES": ":".join(f"glibc.malloc.{key}={value}" for key, value in tunables.items())
    }


def prepare() -> None:
    """Begin to import what training needs, in a process that workers are then forked from.

    Returns at once; the process ends with this one. Where there is no fork, each worker imports by
    itself when it is started. Does nothing the second time.
    """
    if _method() != "forkserver":
        return
    before = _server()
    multiprocessing.get_context("forkserver").set_forkserver_preload(PRELOADED)
    # It imports torch for seconds before it ignores interrupts itself.
    with _ignoring_interrupts(), _environment(**allocator()), _without_main():
        forkserver.ensure_running()
    if _server() != before:
        atexit.register(_give_up, _server())


def _server() -> int | None:
    """The process id of this process's fork server."""
    return getattr(forkserver._forkserver, "_forkserver_pid", None)


def _give_up(server: int | None) -> None:
    """End a fork server that nobody needed, such as after a mistake in the config.

    It would only notice that we are gone when it has imported everything, and until then hold open
    the pipe that someone reads our output from.
    """
    if server is not None and not _started:
        with suppress(OSError):
            os.kill(server, signal.SIGKILL)


def meanwhile(module: str) -> None:
    """Import in a thread what this process will need when the workers are done."""
    threading.Thread(target=importlib.import_module, args=(module,), daemon=True).start()


def start(work: Callable[[Connection], None]) -> tuple[BaseProcess, Connection]:
    """A new process that runs ``work`` with one end of a pipe, and our end of it.

    work: a function of a module that can be imported.
    """
    global _started
    prepare()
    _started = True
    context = multiprocessing.get_context(_method())
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs,), daemon=True)  # type: ignore[attr-defined]
    with _without_main():
        process.start()
    theirs.close()
    return process, ours


def _method() -> str:
    """A fork server imports torch once for all workers; where there is none, each does."""
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


@contextmanager
def _without_main() -> Iterator[None]:
    """Processes started in this context do not run the caller's script.

    multiprocessing has them import it as a module, to find in it what was sent to them; a script
    without a guard would then train within its own workers. Ours need nothing from it.
    """
    with _main_lock:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Processes started in this context do not die of a signal meant for the whole group."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's alone
        return
    before = [signal.signal(number, signal.SIG_IGN) for number in STOPPING]
    try:
        yield
    finally:
        for number, handler in zip(STOPPING, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def _environment(**variables: str) -> Iterator[None]:
    """Processes started in this context have these variables, unless the user has set them."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
