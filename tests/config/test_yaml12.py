"""YAML with YAML 1.2 scalars, and what is refused in reading."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from normbench.config.yaml12 import MAX_BYTES, parse, scalar
from normbench.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 1e-3),
        ("1E5", 1e5),
        (".5", 0.5),
        ("5.", 5.0),
        ("+7", 7),
        ("-0.25", -0.25),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
    ],
)
def test_numbers_booleans_and_null_of_yaml_1_2_are_read_as_such(text: str, value: object) -> None:
    assert scalar(text) == value
    assert type(scalar(text)) is type(value)


@pytest.mark.parametrize(
    "text",
    ["no", "yes", "on", "off", "y", "1:30", "2024-01-31", "1_000", "0b11", "0o9", "nan", "-"],
)
def test_what_yaml_1_1_would_convert_stays_a_string(text: str) -> None:
    assert scalar(text) == text


def test_dotted_nan_and_infinity_are_numbers_that_the_schema_can_refuse() -> None:
    assert math.isnan(scalar(".nan"))  # type: ignore[arg-type]
    assert scalar("-.inf") == -math.inf
    assert scalar("1e999") == math.inf


def test_quoted_scalars_are_strings_whatever_they_look_like() -> None:
    assert parse("{a: '1', b: \"true\", c: ''}", "f").tree == {"a": "1", "b": "true", "c": ""}


@given(st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False)))
def test_every_number_that_python_prints_is_read_back(number: float) -> None:
    assert scalar(str(number)) == number


def test_the_place_of_every_key_and_value_is_known() -> None:
    document = parse("a: 1\nb:\n  - x\n  - {c: 2}\n", "f")
    assert document.values[("a",)] == (1, 4)
    assert document.keys[("b",)] == (2, 1)
    assert document.values[("b", 0)] == (3, 5)
    assert document.keys[("b", 1, "c")] == (4, 6)
    assert document.values[("b", 1, "c")] == (4, 9)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:\n\t- b", "f:2:1  a tab; YAML is indented with spaces"),
        (
            "a: [1",
            "f:1:6  not valid YAML: expected ',' or ']', but got '<stream end>'\n"
            "    while parsing a flow sequence that starts at 1:4",
        ),
        (
            "a: b: c",
            "f:1:5  a second colon on one line\n    a text with a colon stands in quotes; a key of "
            "a section on a line of its own",
        ),
        (
            "a:\n  b: 1\n   c: 2",
            "f:3:4  'c' is indented by 3, line 2 above it by 2\n"
            "    the keys of one section, and the entries of one list, start in the same column",
        ),
        (
            "a:\n    b: 1\n\n  # a remark\n  c: 2",
            "f:5:3  'c' is indented by 2, line 2 above it by 4\n"
            "    nothing above it that is still open starts in column 3",
        ),
        (
            "a:\n  - 1\n - 2",
            "f:3:2  the entry is indented by 1, line 2 above it by 2\n"
            "    nothing above it that is still open starts in column 2",
        ),
        ("a: 1\n---\nb: 2", "f:2:1  a second document ('---'); a config is one document"),
        (
            "{a: b}: c",
            "f:1:1  a key must be one word; a value in braces stands after 'key:'",
        ),
        ("x\ny: \0", "f:2:4  not a text file: it holds the control character U+0000"),
        ("[" * 500_000, "f:1:22  nested more than 20 levels deep; this is no config"),
        ("a" * (MAX_BYTES + 1), "f  larger than 1,000,000 bytes; this is no config"),
    ],
)
def test_an_unreadable_text_is_refused_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "f")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: {c: 3}", "f:3:1  a: duplicate key; it stands at 1:1 already"),
        ("a: &x 1\nb: *x", "f:2:4  b: aliases (*name) are not read"),
        (
            "a: !!python/name:os.system x",
            "f:1:4  a: tags (tag:yaml.org,2002:python/name:os.system)",
        ),
        ("b: {<<: {a: 1}}", "f:1:5  b.<<: merge keys (<<) are not read"),
        (r'b: ["\0.py:X"]', "f:1:5  b[0]: a text with the character U+0000 in it"),
    ],
)
def test_what_is_refused_in_a_readable_text_leaves_the_rest_readable(
    text: str, message: str
) -> None:
    document = parse(text + "\nrest: 1\n", "f")
    assert [str(problem).startswith(message) for problem in document.problems] == [True]
    assert document.tree["rest"] == 1


def test_a_billion_laughs_stay_silent() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{i}: &a{i} [{f'*a{i - 1},' * 9}]" for i in range(1, 9)]
    document = parse("\n".join(lines), "f")
    assert len(document.problems) == 9 * 8
