"""Trains runs in processes of this machine, kept warm from run to run."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from normbench.execution import processes
from normbench.execution.executor import Task
from normbench.execution.worker import STOP, work
from normbench.training.events import ENDS, Event, Failed

POLL_SECONDS = 0.2


@dataclass
class _Worker:
    process: BaseProcess
    connection: Connection
    going: list[str] = field(default_factory=list)  # the runs it is training


class LocalExecutor:
    """``jobs`` worker processes; a worker that dies fails its run and is replaced."""

    def __init__(self, jobs: int):
        self.jobs = jobs
        self._workers: list[_Worker] = []
        self._stopping = False
        processes.prepare()

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[str, Event] | None]:
        """See ``Executor.run``."""
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
        """See ``Executor.stop``."""
        self._stopping = True
        for worker in self._workers:
            if worker.going:
                with suppress(OSError):  # it died; the next receive says so
                    worker.connection.send(STOP)

    def close(self) -> None:
        """See ``Executor.close``."""
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
        worker = _Worker(*processes.start(work))
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
