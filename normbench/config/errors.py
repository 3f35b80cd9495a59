"""Pydantic's errors as plain sentences that name the remedy.

Inside the models a mistake travels as a ``PydanticCustomError`` of type ``config_error``: its
context holds the sentence, the hint, and which place of the file it is about.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from normbench.errors import suggest

Path = tuple[str | int, ...]
"""The keys and indices that lead to a value: ``("norms", 1, "groups")``."""

At = Literal["value", "key", "parent"]
"""The place a mistake is about: a bad value, an unknown key, or the section that lacks a key."""

_NUMBERS = {"int_type", "int_from_float", "int_parsing_size", "float_type"}
_WANTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of fewer digits",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "a string",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a section of keys",
    "model_type": "a section of keys",
}
_LIMITS = {
    "greater_than": ("gt", "a number above {}"),
    "greater_than_equal": ("ge", "at least {}"),
    "less_than": ("lt", "a number below {}"),
    "less_than_equal": ("le", "at most {}"),
}


def config_error(message: str, hint: str = "", at: At = "value") -> PydanticCustomError:
    """What a validator raises: a sentence, its remedy, and the place it is about."""
    return PydanticCustomError(
        "config_error", "{message}", {"message": message, "hint": hint, "at": at}
    )


def config_errors(items: Iterable[tuple[Path, PydanticCustomError]]) -> ValidationError:
    """Several mistakes at once, each at a path below the validator that raises them."""
    lines = [InitErrorDetails(type=error, loc=path, input=None) for path, error in items]
    return ValidationError.from_exception_data("config", lines)


def plain(
    error: ValidationError, model: type[BaseModel], elsewhere: Mapping[str, str]
) -> ValidationError:
    """``error`` with every pydantic message replaced by a sentence of ours.

    ``elsewhere`` says, for a key that only other kinds of this section have, what to tell.
    """
    return config_errors(
        (tuple(line["loc"]), _sentence(line, model, elsewhere))
        for line in error.errors(include_url=False)
    )


def dotted(path: Path) -> str:
    """``("norms", 1, "groups")`` as ``norms[1].groups``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def describe(value: object) -> str:
    """A value as it should be quoted in a message, with its type where that is the mistake."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"{str(value).lower()} (a boolean)"
    if isinstance(value, str):
        return f"{_short(repr(value))} (a string)"
    if isinstance(value, Mapping):
        return "a section of keys"
    if isinstance(value, list | tuple):
        return "a list"
    return _short(str(value))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _sentence(
    line: ErrorDetails, model: type[BaseModel], elsewhere: Mapping[str, str]
) -> PydanticCustomError:
    kind, value, context = line["type"], line["input"], line.get("ctx", {})
    name = str(line["loc"][-1]) if line["loc"] else ""
    if kind == "config_error":
        return PydanticCustomError("config_error", "{message}", context)
    if kind == "extra_forbidden":
        if name in elsewhere:
            return config_error(elsewhere[name], at="key")
        return config_error(f"unknown key {name!r}", suggest(name, _keys(model)), at="key")
    if kind == "missing":
        return config_error("missing", _example(model, name), at="parent")
    if kind == "literal_error":
        expected = str(context["expected"])
        names = re.findall(r"'([^']*)'", expected)
        got = repr(value) if isinstance(value, str) else describe(value)
        return config_error(f"must be {expected}, got {got}", suggest(value, names))
    if kind in _LIMITS:
        key, wanted = _LIMITS[kind]
        message = f"must be {wanted.format(_number(context[key]))}, got {describe(value)}"
        return config_error(message, _as_share(context[key], value))
    if kind in _WANTED:
        quoted = kind in _NUMBERS and isinstance(value, str) and bool(re.search(r"\d", value))
        hint = "a number is written without quotes, units or separators" if quoted else ""
        return config_error(f"must be {_WANTED[kind]}, got {describe(value)}", hint)
    if kind in ("too_short", "too_long"):
        least = context.get("min_length", context.get("max_length"))
        bound = "at least" if kind == "too_short" else "at most"
        return config_error(f"needs {bound} {least} values, got {context['actual_length']}")
    return config_error(f"{line['msg'][:1].lower()}{line['msg'][1:]}, got {describe(value)}")


def _as_share(limit: Any, value: Any) -> str:
    """What to write for a percentage where a share of at most 1 is wanted."""
    percent = isinstance(value, int | float) and not isinstance(value, bool) and 2 <= value <= 100
    return f"{value / 100:g} for {value:g} %" if percent and limit == 1 else ""


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


FILLED_IN = frozenset({"source"})
"""Keys that nobody writes by hand."""


def _keys(model: type[BaseModel]) -> list[str]:
    fields = model.model_fields.items()
    return [field.alias or name for name, field in fields if name not in FILLED_IN]


def _example(model: type[BaseModel], name: str) -> str:
    field = next((f for n, f in model.model_fields.items() if name in (n, f.alias)), None)
    if field is None or not field.examples:
        return ""
    return f"for example  {name}: {field.examples[0]}"
