"""A word in the terminal when nothing else was said for a second."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, Self, TextIO

SECONDS = 1.0
WORD = "loading ..."
_ERASE = "\r\x1b[K"


class Silence:
    """Within this context a silence of a second is broken on stderr, once.

    The word vanishes as soon as anything else is written. Only on a terminal that moves its
    cursor: a file or a pipe, where nobody waits, gets none, nor who asked for quiet.
    """

    def __init__(self, arguments: Sequence[str]):
        quiet = bool({"-q", "--quiet"}.intersection(arguments))
        self._streams: list[TextIO] = []
        if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" and not quiet:
            self._streams = [sys.stderr, sys.stdout]
        self._say = sys.stderr.write
        self._lock = threading.RLock()
        self._shown = False
        self._timer = threading.Timer(SECONDS, self._break)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        for stream in self._streams:
            written = functools.partial(self._written, stream.write)
            stream.write = written  # type: ignore[method-assign]
        if self._streams:
            self._timer.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def _break(self) -> None:
        with self._lock:
            if self._streams:
                self._shown = True
                self._say(WORD)
                sys.stderr.flush()

    def _written(self, write: Callable[[Any], int], text: Any) -> int:
        if text:  # some write nothing, to learn what a stream takes
            self._end()
        return write(text)

    def _end(self) -> None:
        with self._lock:
            self._timer.cancel()
            for stream in self._streams:
                del stream.write
            self._streams = []
            if self._shown:
                self._shown = False
                self._say(_ERASE)
                sys.stderr.flush()
