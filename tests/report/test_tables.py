"""One table as Rich text at any width, CSV, Markdown and LaTeX."""

from __future__ import annotations

import io
import math
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from normbench.charts.palette import norm_styles
from normbench.report.columns import Column, norm_column, number
from normbench.report.tables import cells, plain_table, rich_table

FRAME = pd.DataFrame(
    {
        "norm": ["none", "none", "group(groups=4)"],
        "value": [1.23456789e-9, math.inf, math.nan],
        "note": ["a|b", "50 % & more_less #1", "x"],
        "layers": [np.ones(2), np.ones(2), np.ones(2)],
    }
)
COLUMNS = [
    Column("norm", lambda row: row["norm"], left=True),
    Column("a value", lambda row: number(row["value"])),
    Column("what it says", lambda row: row["note"], weight=1, left=True),
    Column("by layer", lambda row: "▁█", weight=2, left=True, picture=True),
]


def printed(width: int, note: str = "") -> list[str]:
    out = Console(file=io.StringIO(), width=width)
    out.print(rich_table("a title", FRAME, COLUMNS, width, note))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width):
    assert max(map(len, printed(width, "a note that is rather long " * 5))) <= width


def test_with_room_everything_is_shown():
    text = "\n".join(printed(200, "a note"))
    for part in ("a title", "a value", "what it says", "by layer", "1.2e-09", "inf", "a note"):
        assert part in text
    assert "not shown" not in text


def test_words_wrap_before_a_column_is_dropped():
    for width in range(46, 100):
        text = "\n".join(printed(width))
        assert "not shown" not in text, width
        assert "▁█" in text


def test_the_least_important_columns_go_first_and_are_named():
    lines = printed(40)
    assert any("not shown at this width: by layer" in line for line in lines)
    narrow = "\n".join(printed(32))
    assert "not shown at this width: what it" in narrow
    body = narrow.split("not shown")[0]
    assert "value" in body
    assert "what it says" not in body
    assert "layer" not in body


def test_the_rows_that_stand_out_are_bold(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    out = Console(file=io.StringIO(), width=200, force_terminal=True, no_color=True)
    out.print(rich_table("t", FRAME, COLUMNS[:2], 200, bold=[2]))
    assert isinstance(out.file, io.StringIO)
    (line,) = [line for line in out.file.getvalue().splitlines() if "group" in line]
    assert "\x1b[1m" in line
    assert out.file.getvalue().count("\x1b[1m") > 1  # the title and the headings too
    (other,) = [line for line in out.file.getvalue().splitlines() if "1.2e-09" in line]
    assert "\x1b[1m" not in other


def test_a_repeated_norm_is_named_once():
    text = "\n".join(printed(200))
    assert text.count("none") == 1


def test_markup_in_a_label_is_only_text():
    frame = FRAME.assign(norm="[red]x[/red]")
    out = Console(file=io.StringIO(), width=200)
    out.print(rich_table("t", frame, COLUMNS, 200))
    assert isinstance(out.file, io.StringIO)
    assert "[red]x[/red]" in out.file.getvalue()


def test_csv_holds_the_numbers_in_full_and_reads_back():
    back = pd.read_csv(io.StringIO(plain_table(FRAME, COLUMNS, "csv")))
    assert list(back.columns) == ["norm", "value", "note"]
    assert back["value"][0] == 1.23456789e-9
    assert math.isinf(back["value"][1])
    assert math.isnan(back["value"][2])
    assert back["note"][1] == "50 % & more_less #1"


def test_markdown_has_a_row_a_line_and_bars_escaped():
    lines = plain_table(FRAME, COLUMNS, "markdown").splitlines()
    split = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert {len(row) for row in split} == {len(COLUMNS)}
    assert [text.strip() for text in split[0]] == [column.heading for column in COLUMNS]
    assert [text.strip() for text in split[1]] == [":--", "--:", ":--", ":--"]
    unescaped = [[text.strip().replace("\\|", "|") for text in row] for row in split[2:]]
    assert unescaped == cells(FRAME, COLUMNS)


def test_latex_escapes_what_it_must_and_is_balanced():
    text = plain_table(FRAME, COLUMNS, "latex")
    lines = text.splitlines()
    assert lines[0] == r"\begin{tabular}{lrl}"
    assert lines[-1] == r"\end{tabular}"
    body = [line for line in lines if line.endswith(r"\\")]
    assert len(body) == 1 + len(FRAME)
    assert {len(re.findall(r"(?<!\\)&", line)) for line in body} == {2}
    assert r"50 \% \& more\_less \#1" in text
    assert not set("▁█–±µ") & set(text)


def test_words_and_numbers_are_whole_at_any_width_above_the_longest():
    for width in range(28, 100):
        words = set(" ".join(printed(width)).split())
        assert {"1.2e-09", "group(groups=4)"} <= words, width


def test_where_columns_would_break_words_each_row_is_a_block_of_all_of_them():
    lines = [line.rstrip() for line in printed(22)]
    start = lines.index("group(groups=4)")
    assert lines[start + 1 : start + 4] == [
        "  a value       –",
        "  what it says  x",
        "  by layer      ▁█",
    ]
    assert "not shown" not in " ".join(lines)


def coloured(frame: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TERM", "xterm-256color")
    out = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="truecolor")
    out.print(rich_table("t", frame, [norm_column()], 200))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue()


def test_a_norms_name_has_its_colour_whatever_else_is_in_the_table(monkeypatch):
    alone = coloured(pd.DataFrame({"norm": ["batch"]}), monkeypatch)
    among = coloured(pd.DataFrame({"norm": ["rms", "batch", "none"]}), monkeypatch)
    red, green, blue = bytes.fromhex(norm_styles(["batch"])["batch"].terminal[1:])
    wanted = f"\x1b[38;2;{red};{green};{blue}mbatch"
    assert wanted in alone
    assert wanted in among


def test_a_norms_name_has_the_colour_that_its_experiment_gives_it(monkeypatch):
    # Both without a colour of their own: the second in the alphabet takes the second one left.
    norms = ["alpha", "beta"]
    column = [norm_column()]
    monkeypatch.setenv("TERM", "xterm-256color")
    out = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="truecolor")
    out.print(rich_table("t", pd.DataFrame({"norm": ["beta"]}), column, 200, norms=norms))
    assert isinstance(out.file, io.StringIO)
    red, green, blue = bytes.fromhex(norm_styles(norms)["beta"].terminal[1:])
    assert norm_styles(norms)["beta"] != norm_styles(["beta"])["beta"]
    assert f"\x1b[38;2;{red};{green};{blue}mbeta" in out.file.getvalue()


def test_no_color_is_honoured(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    assert "38;2" not in coloured(pd.DataFrame({"norm": ["batch"]}), monkeypatch)
