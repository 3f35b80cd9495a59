"""Standard output and error that never stop the work.

A message that cannot be written, because nobody reads it any more or the disk is full, or that the
terminal cannot encode, ends there, and what it is about goes on.
"""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from io import StringIO
from typing import Any, Self, TextIO

from normbench.plain import encodable


class Stream:
    """A text stream that turns quiet for good once it cannot be written to.

    fault: why it did; None as long as it is read. To who asks it can encode everything: characters
    that it lacks become plain ones.
    """

    encoding = "utf-8"
    errors = "strict"

    def __init__(self, stream: TextIO | None):
        self._stream = stream or StringIO()  # a process without a terminal may have none
        self._taken = self._stream.encoding or "utf-8"
        self.fault: OSError | ValueError | None = None

    def write(self, text: str) -> int:
        """Write, or remember why not."""
        if self.fault is None:
            try:
                self._stream.write(encodable(text, self._taken))
            except (OSError, ValueError) as error:
                self._end(error)
        return len(text)

    def flush(self) -> None:
        """See ``write``."""
        if self.fault is None:
            try:
                self._stream.flush()
            except (OSError, ValueError) as error:
                self._end(error)

    def writelines(self, lines: Any) -> None:
        """See ``write``."""
        for line in lines:
            self.write(line)

    @property
    def unread(self) -> bool:
        """Whether its reader went away, which is no fault of anybody."""
        return isinstance(self.fault, BrokenPipeError) or (
            isinstance(self.fault, OSError) and self.fault.errno in (errno.EPIPE, errno.EINVAL)
        )

    def _end(self, error: OSError | ValueError) -> None:
        self.fault = error
        # What is still in its buffer would be written when the process ends, and fail again.
        with suppress(OSError, ValueError, AttributeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, self._stream.fileno())
            os.close(null)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Streams:
    """Within this context standard output and error are such streams."""

    def __enter__(self) -> Self:
        self._before = sys.stdout, sys.stderr
        self.out, self.err = Stream(sys.stdout), Stream(sys.stderr)
        sys.stdout, sys.stderr = self.out, self.err
        return self

    def __exit__(self, *error: object) -> None:
        self.out.flush()
        self.err.flush()
        sys.stdout, sys.stderr = self._before
