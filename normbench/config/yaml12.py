"""YAML with YAML 1.2 scalars, the place of every value, and no surprises.

PyYAML parses; what it makes of scalars (YAML 1.1: ``no`` is false, ``1e-3`` a string, ``1:30``
ninety) is not used. Aliases, merge keys and tags are refused, duplicate keys are mistakes, and
size and depth are capped, so a file can neither run code nor grow when it is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from normbench.config.errors import At, Path, dotted
from normbench.errors import ConfigError, Problem

MAX_BYTES = 1_000_000
MAX_DEPTH = 20

# YAML 1.2.2, section 10.3.2, the core schema. A number of more digits than any use has is a string.
_INT = re.compile(r"[-+]?[0-9]{1,400}\Z")
_OCTAL = re.compile(r"0o[0-7]{1,400}\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]{1,400}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_INFINITY = re.compile(r"[-+]?(\.inf|\.Inf|\.INF)\Z")
_CONSTANTS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}

Position = tuple[int, int]
"""Line and column, both from 1."""


def scalar(text: str) -> str | int | float | bool | None:
    """The value of an unquoted scalar under the core schema of YAML 1.2."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INT.match(text):
        return int(text)
    if _OCTAL.match(text):
        return int(text[2:], 8)
    if _HEX.match(text):
        return int(text[2:], 16)
    if _FLOAT.match(text):
        return float(text)
    if _INFINITY.match(text):
        return float(text.replace(".", ""))
    return text


@dataclass
class Document:
    """Plain dicts, lists and scalars, and where each of them stands.

    values, keys: path -> position of the value, and of the key it stands under. origins: path ->
    the override (``--set a.b=c``) that put a value there instead of the file.
    """

    source: str
    tree: Any = None
    values: dict[Path, Position] = field(default_factory=dict)
    keys: dict[Path, Position] = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    def line(self, number: int | None) -> str:
        """The text of a line, counted from 1; empty where there is none."""
        return self.lines[number - 1] if number and number <= len(self.lines) else ""

    def at(self, path: Path) -> Any:
        """The value at ``path``; None where there is nothing."""
        value = self.tree
        for part in path:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def forget(self, path: Path) -> None:
        """Drop what is known of the places at and below ``path``."""
        for positions in (self.values, self.keys, self.origins):
            for known in [p for p in positions if p[: len(path)] == path]:
                del positions[known]

    def locate(self, path: Path, at: At, message: str, hint: str) -> Problem:
        """The problem at ``path``, with the closest place that the document knows."""
        for length in range(len(path), -1, -1):
            prefix, rest = path[:length], path[length:]
            # A lone value may have been read as a list of one: name what stands there.
            lone = rest == (0,) and not isinstance(self.at(prefix), list)
            shown = dotted(prefix if lone else path)
            if prefix in self.origins:
                return Problem(shown, message, hint, source=self.origins[prefix])
            position = self.keys.get(prefix) if at == "key" and not rest else None
            if position := position or self.values.get(prefix):
                text = self.line(position[0])
                return Problem(shown, message, hint, *position, source=self.source, text=text)
        return Problem(dotted(path), message, hint, source=self.source or None)


def parse(text: str, source: str) -> Document:
    """Read one YAML document. Raises ConfigError where reading cannot go on.

    Mistakes that leave the rest readable (a duplicate key, an alias) are in ``problems``.
    """
    document = Document(source, lines=text.splitlines())
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise _failure(source, f"larger than {MAX_BYTES:,} bytes; this is no config")
    try:
        events = yaml.parse(text, Loader=yaml.SafeLoader)
        _read_documents(events, document)
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        position = (before.count("\n") + 1, len(before) - before.rfind("\n"))
        code = error.character if isinstance(error.character, int) else ord(error.character)
        message = f"not a text file: it holds the control character U+{code:04X}"
        raise _failure(source, message, position=position) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax(document, error) from None
    return document


def _read_documents(events: Iterator[yaml.Event], document: Document) -> None:
    reader = _Reader(events, document)
    started = False
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent):
            if started:
                message = "a second document ('---'); a config is one document"
                raise _failure(document.source, message, position=_position(event))
            started = True
            document.tree = reader.value(next(events), ())


class _Reader:
    """Builds plain values from parser events."""

    def __init__(self, events: Iterator[yaml.Event], document: Document):
        self.events, self.document = events, document

    def value(self, event: yaml.Event, path: Path) -> Any:
        document = self.document
        document.values[path] = _position(event)
        if len(path) > MAX_DEPTH:
            message = f"nested more than {MAX_DEPTH} levels deep; this is no config"
            raise _failure(document.source, message, position=_position(event))
        if isinstance(event, yaml.AliasEvent):
            self.refuse(path, event, "aliases (*name) are not read", "write the value out")
            return None
        if (tag := getattr(event, "tag", None)) is not None:
            self.refuse(path, event, f"tags ({tag}) are not read", "remove the tag")
        if isinstance(event, yaml.ScalarEvent) and "\0" in event.value:
            self.refuse(path, event, "a text with the character U+0000 in it", "remove it")
            return None
        if isinstance(event, yaml.ScalarEvent):
            return scalar(event.value) if event.style is None else event.value
        if isinstance(event, yaml.SequenceStartEvent):
            items: list[Any] = []
            while not isinstance(item := next(self.events), yaml.SequenceEndEvent):
                items.append(self.value(item, (*path, len(items))))
            return items
        return self.mapping(path)

    def mapping(self, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                message = "a key must be one word"
                if isinstance(event, yaml.MappingStartEvent):
                    message += "; a value in braces stands after 'key:'"
                raise _failure(self.document.source, message, position=_position(event))
            key, below = event.value, (*path, event.value)
            if key in result:
                line, column = self.document.keys[below]
                message = f"duplicate key; it stands at {line}:{column} already"
                self.refuse(below, event, message, "keep one of the two")
                self.skip(next(self.events))
                continue
            self.document.keys[below] = _position(event)
            if key == "<<" and event.style is None:
                self.refuse(below, event, "merge keys (<<) are not read", "write the keys out")
                self.skip(next(self.events))
                continue
            result[key] = self.value(next(self.events), below)
        return result

    def skip(self, event: yaml.Event) -> None:
        depth = 0
        while True:
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1
            if depth == 0:
                return
            event = next(self.events)

    def refuse(self, path: Path, event: yaml.Event, message: str, hint: str) -> None:
        position, source = _position(event), self.document.source
        line = self.document.line(position[0])
        problem = Problem(dotted(path), message, hint, *position, source=source, text=line)
        self.document.problems.append(problem)


def _position(event: yaml.Event) -> Position:
    mark = event.start_mark
    assert mark is not None  # events read from text have one
    return mark.line + 1, mark.column + 1


def _failure(
    source: str, message: str, hint: str = "", position: Position | None = None
) -> ConfigError:
    line, column = position or (None, None)
    return ConfigError([Problem("", message, hint, line, column, source=source)])


def _syntax(document: Document, error: yaml.MarkedYAMLError) -> ConfigError:
    mark: Any = error.problem_mark or error.context_mark
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    problem = error.problem or "unreadable"
    text = document.line(line)
    hint = ""
    if "'\\t'" in problem:
        message = "a tab; YAML is indented with spaces"
    elif line is not None and (told := _misplaced(document, problem, line)):
        message, hint = told
        column = len(text) - len(text.lstrip()) + 1
    elif "mapping values" in problem:
        message = "a second colon on one line"
        hint = "a text with a colon stands in quotes; a key of a section on a line of its own"
    else:
        message = f"not valid YAML: {problem}"
        if error.context:
            hint = error.context
            start: Any = error.context_mark
            if start is not None:
                hint += f" that starts at {start.line + 1}:{start.column + 1}"
    return ConfigError([Problem("", message, hint, line, column, document.source, text)])


def _misplaced(document: Document, problem: str, line: int) -> tuple[str, str] | None:
    """(message, hint) where the parser stumbled over a line's indentation; None elsewhere.

    Keys of one section start in the same column; what belongs to a key stands further right.
    """
    text = document.line(line)
    first = re.match(r"( *)(-|[A-Za-z_][\w.]* *:)( |$)", text)
    if first is None or not re.search("mapping values|expected <block end>", problem):
        return None
    before = next(
        (n for n in range(line - 1, 0, -1) if document.line(n).partition("#")[0].strip()), None
    )
    if before is None:
        return None
    other = document.line(before)
    own, wanted = len(first[1]), len(other) - len(other.lstrip())
    if own == wanted:
        return None
    what = "the entry" if first[2] == "-" else repr(first[2].rstrip(" :"))
    message = f"{what} is indented by {own}, line {before} above it by {wanted}"
    if own > wanted:
        hint = "the keys of one section, and the entries of one list, start in the same column"
    else:
        hint = f"nothing above it that is still open starts in column {own + 1}"
    return message, hint
