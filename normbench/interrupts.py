"""Ctrl-C and SIGTERM as a request to stop in good order."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self


class Interrupts:
    """Within this context the first SIGINT or SIGTERM only asks; the second one kills.

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
            for number in (signal.SIGINT, signal.SIGTERM):
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
