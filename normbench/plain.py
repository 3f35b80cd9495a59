"""Text that can be shown: without characters that steer a terminal, in what it can encode."""

from __future__ import annotations

import unicodedata
from typing import Any

_STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
_SUBSTITUTES = {
    **dict(zip("▁▂▃▄▅▆▇█", "__..--**", strict=True)),
    **dict(zip("─━═│┃║╸╺╴╶╵╷", "---|||------", strict=True)),
    **dict(zip("┌┐└┘├┤┬┴┼╭╮╰╯┏┓┗┛┡┩╇╒╕╘╛", "+" * 24, strict=True)),
    **dict(zip("‘’“”–—−·•×µμ∞", "''\"\"---.*xuu~", strict=True)),
    **dict(zip("■□▪●○◆▲✓✗", "#o#*o#^vx", strict=True)),
    **{"→": "->", "←": "<-", "↑": "^", "↓": "v", "…": "...", "≥": ">=", "≤": "<=", "±": "+-"},
    **{"≈": "~", "≠": "!=", "²": "^2", "⇒": "=>", "√": "sqrt", "∞": "inf", "°": " deg"},
}


def shown(text: object, keep: str = "\n") -> str:
    """``text`` with characters escaped that steer a terminal or turn the reading order.

    keep: characters that stay what they are.
    """
    text = str(text)
    if text.isprintable():  # nearly always, and much faster than to look at each letter
        return text
    return "".join(
        letter
        if letter in keep or unicodedata.category(letter) not in _STEERING
        else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def shown_within(value: Any) -> Any:
    """The same for every text in nested dicts and lists, keys among them, such as a chart's."""
    if isinstance(value, str):
        return shown(value, keep="\n\t")
    if isinstance(value, dict):
        return {shown_within(key): shown_within(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown_within(item) for item in value]
    return value


def cell(value: Any) -> Any:
    """A value as a table that others open may hold it: shown, and no formula of theirs."""
    if not isinstance(value, str):
        return value
    text = shown(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def encodable(text: str, encoding: str) -> str:
    """``text`` in characters that ``encoding`` has: plain ones stand for those that it lacks."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return "".join(_encodable(letter, encoding) for letter in text)
    except LookupError:  # an encoding that nobody knows
        return encodable(text, "ascii")
    return text


def _encodable(letter: str, encoding: str) -> str:
    nearest = unicodedata.normalize("NFKD", letter)
    braille = "." if "\u2801" <= letter <= "\u28ff" else " " if letter == "\u2800" else ""
    for sign in (letter, _SUBSTITUTES.get(letter, ""), braille, nearest, nearest[:1]):
        try:
            sign.encode(encoding)
        except UnicodeEncodeError:
            continue
        if sign:
            return sign
    return "?"
