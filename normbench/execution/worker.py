"""The process that trains: takes tasks from a pipe, sends events back.

Nothing here writes results: whoever drives the experiment does.
"""

from __future__ import annotations

import signal
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from normbench.config import RunConfig
from normbench.data import Dataset, load
from normbench.errors import NormbenchError
from normbench.execution import components
from normbench.execution.executor import Task
from normbench.training.events import ENDS, Event, Failed
from normbench.training.loop import train_together
from normbench.training.settings import compute_on

STOP = "stop"


def work(connection: Connection) -> None:
    """Train what comes through ``connection`` until it closes.

    Receives tasks, and ``STOP`` while one is running; sends events. Interrupts are the driver's
    to handle: a terminal or a scheduler sends them to every process of the group.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        while True:
            message = connection.recv()
            if isinstance(message, Task):
                _train(message, connection)
    except (EOFError, OSError):  # the driver is gone
        return


def _train(task: Task, connection: Connection) -> None:
    asked = False

    def should_stop() -> bool:
        nonlocal asked
        asked = asked or (connection.poll() and connection.recv() == STOP)
        return asked

    for item in run_task(task, lambda: load(Path(task.dataset)), should_stop):
        connection.send(item)


def run_task(
    task: Task, dataset: Callable[[], Dataset], should_stop: Callable[[], bool]
) -> Iterator[tuple[str, Event]]:
    """(key, event) of a task's runs, trained here.

    Whatever goes wrong is the last event, ``Failed``, of every run that has not ended.
    """
    going = [run.key for run in task.runs]
    try:
        components.unpack(task.components)
        configs = [RunConfig.model_validate(run.config) for run in task.runs]
        compute_on(configs[0].runtime)
        resume = [run.resume for run in task.runs]
        for index, event in train_together(
            configs, dataset(), resume=resume, should_stop=should_stop
        ):
            key = task.runs[index].key
            if isinstance(event, ENDS):
                going.remove(key)
            yield key, event
    except Exception as error:
        yield from ((key, _failure(error)) for key in going)


def _failure(error: Exception) -> Event:
    if isinstance(error, NormbenchError):
        return Failed(str(error))
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return Failed(reason[:300], traceback.format_exc())
