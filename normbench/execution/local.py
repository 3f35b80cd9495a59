"""Trains runs in processes of this machine, kept warm from run to run."""

from __future__ import annotations

import multiprocessing
import os
import platform
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from normbench.execution.engine import Task
from normbench.execution.worker import STOP, work
from normbench.training.events import ENDS, Event, Failed

POLL_SECONDS = 0.2


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


@contextmanager
def _ignoring_interrupts() -> Iterator[None]:
    """Processes started in this context do not die of a signal meant for the whole group."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's alone
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, signal.SIG_IGN) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
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


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    going: list[str] = field(default_factory=list)  # the runs it is training


class LocalEngine:
    """``jobs`` worker processes; a worker that dies fails its run and is replaced."""

    def __init__(self, jobs: int):
        self.jobs = jobs
        self._workers: list[_Worker] = []
        self._stopping = False
        # A fork server imports torch once for all workers; where there is none, each does.
        methods = multiprocessing.get_all_start_methods()
        self._context = multiprocessing.get_context(
            "forkserver" if "forkserver" in methods else "spawn"
        )
        if "forkserver" in methods:
            self._context.set_forkserver_preload(["normbench.execution.worker"])
            # It imports torch for seconds before it ignores interrupts itself.
            with _ignoring_interrupts(), _environment(**allocator()):
                forkserver.ensure_running()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[str, Event] | None]:
        """See ``Engine.run``."""
        waiting = iter(tasks)
        while True:
            self._hand_out(waiting)
            busy = [worker for worker in self._workers if worker.going]
            if not busy:
                return
            ready = wait([worker.connection for worker in busy], timeout=POLL_SECONDS)
            if not ready:
                yield None
            for worker in busy:
                if worker.connection in ready:
                    yield from self._receive(worker)

    def stop(self) -> None:
        """See ``Engine.stop``."""
        self._stopping = True
        for worker in self._workers:
            if worker.going:
                with suppress(OSError):  # it died; the next receive says so
                    worker.connection.send(STOP)

    def close(self) -> None:
        """See ``Engine.close``."""
        for worker in self._workers:
            worker.connection.close()
            if worker.going:
                worker.process.kill()
            worker.process.join(timeout=5)
        self._workers.clear()

    def _hand_out(self, waiting: Iterator[Task]) -> None:
        idle = [worker for worker in self._workers if not worker.going]
        while not self._stopping and (idle or len(self._workers) < self.jobs):
            task = next(waiting, None)
            if task is None:
                return
            worker = idle.pop() if idle else self._start()
            worker.going = [run.key for run in task.runs]
            with suppress(OSError):  # it died; the next receive says so
                worker.connection.send(task)

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(  # type: ignore[attr-defined]
            target=work, args=(theirs,), daemon=True
        )
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _receive(self, worker: _Worker) -> Iterator[tuple[str, Event]]:
        try:
            key, event = worker.connection.recv()
        except (EOFError, OSError):
            reason, left = self._bury(worker), worker.going
            worker.going = []
            yield from ((key, Failed(reason)) for key in left)
            return
        if isinstance(event, ENDS):
            worker.going.remove(key)
        yield key, event

    def _bury(self, worker: _Worker) -> str:
        """Remove a dead worker; say how it died."""
        worker.process.join(timeout=5)
        worker.connection.close()
        self._workers.remove(worker)
        code = worker.process.exitcode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return f"its process was ended by {name}{hint}"
        return f"its process ended unexpectedly with exit code {code}"
