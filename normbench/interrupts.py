"""Ctrl-C, SIGTERM and a terminal that goes away as a request to stop in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

STOPPING = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")
    if hasattr(signal, name)
)
"""The signals that ask a process to end: of a keyboard, a scheduler, a terminal that was closed."""


class Interrupts:
    """Within this context the first of ``STOPPING`` only asks; the second one kills.

    kill: ends what is running at once; then the signal does what it did before. Signals can be
    caught in the main thread alone; elsewhere nothing is changed.
    """

    def __init__(self, kill: Callable[[], None]):
        self._kill = kill
        self._before: dict[int, Any] = {}
        self.signal: int | None = None

    def requested(self) -> bool:
        """Whether a signal has come."""
        return self.signal is not None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in STOPPING:
                if number != signal.SIGINT and signal.getsignal(number) == signal.SIG_IGN:
                    continue  # as under nohup
                self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _caught(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            self._kill()
            before = self._before[signal.SIGINT]
            if callable(before):
                before(number, frame)
            raise KeyboardInterrupt
        self.signal = number
