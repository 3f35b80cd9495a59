"""Text from outside neither steers a terminal nor fails to be encoded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normbench.plain import cell, encodable, shown


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\u202eb", "a\\u202eb"),
        ("a\u2066b\u200f", "a\\u2066b\\u200f"),
        ("bell\x07 \x9b", "bell\\x07 \\x9b"),
        ("\udcff", "\\udcff"),
        ("two\nlines", "two\nlines"),
        ("naïve → µ", "naïve → µ"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text, told):
    assert shown(text) == told


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@a", "=cmd|' /C calc'!A0"])
def test_no_text_is_a_formula_of_a_spreadsheet(text):
    assert cell(text) == f"'{text}"
    assert cell("a\x1b") == "a\\x1b"
    assert cell(-1.5) == -1.5


@given(st.text(st.characters(codec=None)))
def test_what_is_shown_can_always_be_written(text):
    found = shown(text)
    found.encode("utf-8")
    assert "\x1b" not in found
    assert shown(found) == found


@pytest.mark.parametrize(
    ("text", "ascii_", "cp1252"),
    [
        ("▁▂▃▄▅▆▇█", "__..--**", "__..--**"),
        ("a → b ± 2 µs …", "a -> b +- 2 us ...", "a -> b ± 2 µs …"),
        ("┌─┐", "+-+", "+-+"),
        ("⠀⡇⣿", " ..", " .."),
        ("naïve “x”", 'naive "x"', "naïve “x”"),
        ("漢", "?", "?"),
    ],
)
def test_plain_characters_stand_for_those_that_an_encoding_lacks(text, ascii_, cp1252):
    assert encodable(text, "ascii") == ascii_
    assert encodable(text, "cp1252") == cp1252
    assert encodable(text, "utf-8") == text
    assert encodable(text, "no-such-encoding") == ascii_


@given(st.text(st.characters(codec=None)), st.sampled_from(["ascii", "cp1252", "latin-1", "utf-8"]))
def test_everything_can_be_encoded(text, encoding):
    encodable(text, encoding).encode(encoding)
