"""The process that trains: takes tasks from a pipe, sends events back.

Nothing here writes results: whoever drives the experiment does.
"""

from __future__ import annotations

import signal
import traceback
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch._dynamo  # the first optimizer would, in every worker; the fork server does it once

from normbench.config import RunConfig
from normbench.data import load
from normbench.errors import NormbenchError
from normbench.execution.engine import Task
from normbench.training.events import Event, Failed
from normbench.training.loop import train

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

    try:
        config = RunConfig.model_validate(task.config)
        torch.set_num_threads(config.runtime.threads)
        dataset = load(Path(task.dataset))
        for event in train(config, dataset, resume=task.resume, should_stop=should_stop):
            connection.send(event)
    except (EOFError, OSError) as error:
        if connection.closed or isinstance(error, EOFError | BrokenPipeError):
            raise
        connection.send(_failure(error))
    except Exception as error:
        connection.send(_failure(error))


def _failure(error: Exception) -> Event:
    if isinstance(error, NormbenchError):
        return Failed(str(error))
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    return Failed(reason[:300], traceback.format_exc())
