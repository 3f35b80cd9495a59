"""Errors a user can cause, each with the exit code of the command line contract.

An error names the place and the remedy. Anything that is not a ``NormbenchError`` is a bug of ours
and may show a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field


class NormbenchError(Exception):
    """Base of every error that is reported without a traceback. ``exit_code`` is the process's."""

    exit_code = 1


class DataError(NormbenchError):
    """A dataset is absent, truncated, altered or unreadable."""

    exit_code = 3


class StoreError(NormbenchError):
    """The results folder cannot be read or written, or holds what we cannot use."""

    exit_code = 4


class RunsFailed(NormbenchError):
    """No run of an experiment has a result, with the reasons."""


@dataclass(frozen=True)
class Problem:
    """One mistake in a config.

    ``path`` is the dotted key (``norms[1].groups``); ``line`` and ``column`` count from 1 and are
    None for a value that stands in no file (an override, a Python call). ``text`` is the line of
    the file, for ``with_excerpt``.
    """

    path: str
    message: str
    hint: str = ""
    line: int | None = None
    column: int | None = None
    source: str | None = None
    text: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self._told([])

    def with_excerpt(self) -> str:
        """The same with the line of the file below the message, and a caret under its place."""
        if not self.text.strip() or self.line is None or self.column is None:
            return str(self)
        return self._told(_excerpt(self.text, self.line, self.column))

    def _told(self, excerpt: list[str]) -> str:
        where = _short(self.source or "")
        if self.line is not None:
            where += f":{self.line}:{self.column}"
        path, message = _short(self.path), _short(self.message)
        head = "  ".join(part for part in (where, f"{path}: " if path else "") if part)
        text = f"{head}{message}" if path else f"{head}  {message}"
        return "\n    ".join([text, *excerpt, *map(_short, self.hint.splitlines())])


MOST_PROBLEMS = 20
"""Mistakes of one config that are told; of the others only how many there are."""

_LONGEST = 500


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


_EXCERPT = 72
"""Characters of a line that are shown, so that a line of a megabyte stays a line."""


def _excerpt(text: str, line: int, column: int) -> list[str]:
    start = max(0, column - 1 - _EXCERPT // 2) if column > _EXCERPT else 0
    shown = text[start : start + _EXCERPT].replace("\t", " ").rstrip()
    number = str(line)
    caret = " " * (column - 1 - start) + "^"
    return [f"{number} | {shown}", f"{' ' * len(number)} | {caret}"]


class ConfigError(NormbenchError):
    """All the mistakes of one config at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem] | str):
        if isinstance(problems, str):
            problems = [Problem("", problems)]
        self.problems = list(problems)
        super().__init__(self._told(str))

    def with_excerpts(self) -> str:
        """Every mistake with the line of the file that it is about."""
        return self._told(Problem.with_excerpt)

    def _told(self, tell: Callable[[Problem], str]) -> str:
        lines = [tell(problem).strip() for problem in self.problems[:MOST_PROBLEMS]]
        left = len(self.problems) - MOST_PROBLEMS
        return "\n".join([*lines, *([f"and {left} more mistakes"] if left > 0 else [])])


MANY = 20
"""Names that are listed; of more, the nearest one will do."""


def suggest(word: object, known: Iterable[str]) -> str:
    """The remedy for an unknown name: ``did you mean 'batch'?  known: batch, layer``.

    Of more than ``MANY`` known names only the nearest is named, or where none is near, the first.
    """
    names = sorted(known)
    close = difflib.get_close_matches(str(word), names, n=1, cutoff=0.6)
    guess = f"did you mean {close[0]!r}?  " if close else ""
    shown = ", ".join(names[:MANY])
    if len(names) > MANY:
        shown = "" if close else f"{shown} and {len(names) - MANY} more"
    return f"{guess}known: {shown}" if shown else guess.strip()
