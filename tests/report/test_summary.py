"""The tables below the sentences: what stands in them, and in how much room."""

from __future__ import annotations

import io
import re

import pandas as pd
import pytest
from rich.cells import cell_len
from rich.console import Console

from normbench.analysis.rule import MARKS, VerdictRule, mark
from normbench.report.answer import Answer
from normbench.report.summary import long_table, summary
from normbench.report.tables import cells, plain_table, rich_table

NAN = float("nan")


def row(norm: str, verdict: str, value: float, **more) -> dict:
    known = {
        "norm": norm,
        "metric": "auc",
        "rank": 0 if verdict == "leader" else 1,
        "in_set": verdict != "worse",
        "seeds": 8,
        "value": value,
        "difference": 0.0 if verdict == "leader" else value - 0.923,
        "ci_low": NAN,
        "ci_high": NAN,
        "interval": "",
        "p_value": 0.5,
        "verdict": verdict,
        "more_seeds": NAN,
        "look": 8.0,
        "runs": 8,
        "reached": 8,
        "steps_to_target": 120.0,
        "budget_steps": 12000.0,
        "target": 0.97,
        "val_accuracy_mean": 0.96,
        "test_accuracy_mean": 0.951,
        "test_accuracy_std": 0.01,
        "train_seconds_per_step": 1.23e-3,
        "finished": 8,
        "diverged": 0,
        "failed": 0,
        "interrupted": 0,
        "missing": 0,
        "at_chance": 0,
        "never_left_chance": 0,
    }
    return known | more


SURE = {"ci_low": -0.042, "ci_high": -0.02, "interval": "simultaneous"}
ROWS = [
    row("batch", "leader", 0.923),
    row("layer", "similar", 0.922, ci_low=-0.004, ci_high=0.003, interval="simultaneous"),
    row("group", "undecided", 0.915, interval="needs 7 pairs"),
    row("rms", "worse", 0.892, **SURE),
    row("none", "worse", 0.1, reached=0, steps_to_target=float("inf"), at_chance=8, **SURE),
]


def told(rows: list[dict], keys: list[str] | None = None, **more) -> Answer:
    frame = pd.DataFrame(rows)
    order = tuple(dict.fromkeys(frame["norm"]))
    settings = {"rule": VerdictRule(), "tuned_key": "", "order": order} | more
    return Answer("x", settings.pop("rule"), keys or [], ("Use batch.",), (), frame, **settings)


def texts(found: Answer) -> dict[str, dict[str, str]]:
    (section,) = summary(found)
    return {
        line[0]: dict(zip([c.heading for c in section.columns], line, strict=True))
        for line in cells(section.rows, section.columns)
    }


def test_there_is_a_row_a_norm_with_all_that_decides():
    assert texts(told(ROWS))["rms"] == {
        "norm": "rms",
        "AUC": "0.892",
        "to leader": "-0.031 ▼",
        "95 % interval": "-0.042 to -0.020",
        "steps to 97%": "120 8/8",
        "test %": "95.1",
        "step time": "1.23 ms",
        "ended": "ok",
    }
    none = texts(told(ROWS))["none"]
    assert (none["steps to 97%"], none["ended"]) == ("> 12000 0/8", "8 at chance")
    assert texts(told(ROWS))["batch"]["to leader"] == "leader"


def test_marks_are_told_once_and_only_those_that_stand_there():
    (section,) = summary(told(ROWS))
    assert section.note == (
        "AUC: area under the validation curve; ▼ worse, ≈ similar (within 0.01), ? undecided; no "
        "interval for group: needs 7 pairs"
    )
    (section,) = summary(told(ROWS[:1] + ROWS[3:]))
    assert "similar" not in section.note
    few = [ROWS[0], row("rms", "too few seeds (needs 7)", 0.9, interval="needs 7 pairs")]
    (section,) = summary(told(few))
    assert section.note.endswith("· too few seeds (needs 7)")


def test_a_column_that_says_the_same_in_every_row_is_left_out():
    assert "ended" not in texts(told(ROWS[:4]))["rms"]
    assert "seeds" not in texts(told(ROWS))["rms"]
    raced = [ROWS[0] | {"seeds": 20, "runs": 20}, *ROWS[1:]]
    assert texts(told(raced))["batch"]["seeds"] == "20"


def test_the_judged_metric_has_one_column():
    steps = [
        ROWS[0] | {"value": 120.0, "metric": "steps_to_target"},
        ROWS[3] | {"value": 200.0, "difference": 80.0, "ci_low": 40.0, "ci_high": float("inf")},
    ]
    rms = texts(told(steps, rule=VerdictRule("steps_to_target", 0.1)))["rms"]
    assert (rms["steps to 97%"], rms["reached"]) == ("200", "8/8")
    assert (rms["to leader"], rms["95 % interval"]) == ("+80 ▼", "+40 to +∞")
    accuracy = [ROWS[0], ROWS[3] | {"difference": -0.031}]
    rms = texts(told(accuracy, rule=VerdictRule("test_accuracy", 0.01)))["rms"]
    assert (rms["test %"], rms["to leader"]) == ("89.2", "-3.1 ▼")


def test_own_best_values_stand_beside_shared_ones_and_a_worse_own_best_is_marked():
    rows = [
        ROWS[0] | {"tuned": 0.1, "shared_value": 0.9},
        ROWS[3] | {"tuned": 0.01, "shared_value": 0.95},
    ]
    found = texts(told(rows, tuned_key="optimizer.lr"))
    assert (found["batch"]["own lr"], found["batch"]["shared AUC"]) == ("0.1", "0.900")
    assert found["rms"]["shared AUC"] == "0.950 !"
    (section,) = summary(told(rows, tuned_key="optimizer.lr"))
    assert section.note.endswith("! its own best value did worse than the shared one")
    (section,) = summary(told(rows[:1], tuned_key="optimizer.lr"))
    assert "!" not in section.note


def drawn(found: Answer, width: int) -> list[str]:
    (section,) = summary(found)
    out = Console(file=io.StringIO(), width=width)
    args = (section.title, section.rows, section.columns, width, section.note, section.norms)
    out.print(rich_table(*args, section.bold))
    assert isinstance(out.file, io.StringIO)
    return out.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width):
    assert max(map(cell_len, drawn(told(ROWS), width))) <= width


def test_eighty_columns_hold_all_of_it():
    text = "\n".join(drawn(told(ROWS), 80))
    assert "not shown" not in text
    for part in ("-0.042 to -0.020", "> 12000 0/8", "95.1", "1.23 ms", "chance"):
        assert part in text


def test_forty_columns_lose_nothing_either():
    text = "\n".join(drawn(told(ROWS), 40))
    assert "not shown" not in text
    assert text.count("steps to 97%") == len(ROWS)


def test_only_the_leader_stands_out():
    (section,) = summary(told(ROWS))
    assert list(section.bold) == [0]


# --- sweeps ---

KEY = "data.batch_size"
SWEPT = [
    row("batch", "worse", 0.172) | {KEY: 2},
    row("layer", "leader", 0.923) | {KEY: 2},
    row("batch", "leader", 0.95) | {KEY: 16},
    row("layer", "similar", 0.949, diverged=1, finished=7) | {KEY: 16},
]


def test_a_sweep_is_a_matrix_with_the_best_of_each_column_marked():
    found = texts(told(SWEPT, [KEY]))
    assert found["batch"] == {"norm": "batch", "2": "0.172 ▼", "16": "0.950 ★"}
    assert found["layer"] == {"norm": "layer", "2": "0.923 ★", "16": "0.949 ≈†"}
    (section,) = summary(told(SWEPT, [KEY]))
    assert section.title == "x: AUC by data.batch_size"
    assert section.note == (
        "★ best of its column; against it: ▼ worse, ≈ similar (within 0.01); † some of its runs "
        "failed, diverged or stayed at chance"
    )


def test_two_keys_make_a_matrix_for_each_value_of_the_shorter_one():
    third = [row("batch", "leader", 0.9) | {KEY: 32}, row("layer", "worse", 0.5) | {KEY: 32}]
    rows = [r | {"optimizer.lr": lr} for lr in (0.1, 0.2) for r in (*SWEPT, *third)]
    titles = [section.title for section in summary(told(rows, ["optimizer.lr", KEY]))]
    assert titles == [
        "x: AUC by data.batch_size, lr 0.1",
        "x: AUC by data.batch_size, lr 0.2",
    ]


def test_a_value_without_a_run_is_empty():
    assert texts(told(SWEPT[:3], [KEY]))["layer"]["16"] == ""


# --- for other programs ---


def test_csv_holds_every_number_of_every_row_in_full():
    section = long_table(told(SWEPT, [KEY]))
    back = pd.read_csv(io.StringIO(plain_table(section.rows, section.columns, "csv")))
    assert len(back) == len(SWEPT)
    assert {"norm", KEY, "value", "difference", "verdict", "in_set", "at_chance"} <= set(back)
    assert back["value"][0] == 0.172


@pytest.mark.parametrize("form", ["markdown", "latex"])
@pytest.mark.parametrize("found", [told(ROWS), told(SWEPT, [KEY])], ids=["norms", "sweep"])
def test_other_forms_have_a_line_a_norm_and_no_sign_that_latex_lacks(form, found):
    (section,) = summary(found)
    text = plain_table(section.rows, section.columns, form)
    for norm in section.rows["norm"]:
        assert len(re.findall(rf"^(\| )?{norm} ", text, re.M)) == 1
    if form == "latex":
        assert not set("▲▼≈★·†∞–") & set(text)


def test_every_word_has_a_mark_of_its_own():
    assert len(set(MARKS.values())) == len(MARKS)
    assert mark("too few seeds (needs 7)") == mark("too few seeds (needs 9)") == "·"
    assert mark("undecided (6 of 8 pairs tie)") == "?"
    assert mark("") == ""
