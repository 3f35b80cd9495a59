"""How numbers read: every edge a table can meet."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from normbench.report.columns import (
    BLOCKS,
    convergence_columns,
    count,
    difference,
    ended,
    gradient_columns,
    interval,
    number,
    percent,
    seconds,
    sparkline,
    steps,
    timed,
)

INF, NAN = math.inf, math.nan


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (12345, "12345"),
        (12345.0, "12345"),
        (NAN, "–"),
        (INF, "–"),
        (1e15, "1" + "0" * 15),
    ],
)
def test_a_count_is_whole_and_in_full(value, text):
    assert count(value) == text


@pytest.mark.parametrize(
    ("value", "spread", "text"),
    [
        (0.9712, 0.0031, "97.1 ±0.3"),
        (0.9712, NAN, "97.1"),
        (NAN, NAN, "–"),
        (NAN, 0.1, "–"),
        (1.0, 0.0, "100.0 ±0.0"),
        (0.0, 0.0, "0.0 ±0.0"),
        (0.99996, NAN, "100.0"),
        (0.0004, NAN, "0.0"),
    ],
)
def test_an_accuracy_is_in_percent_with_its_spread(value, spread, text):
    assert percent(value, spread) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (1.0, "1"),
        (0.0123, "0.0123"),
        (0.98765, "0.988"),
        (-0.5, "-0.5"),
        (123.4, "123"),
        (1e-3, "0.001"),
        (9.99e-4, "1.0e-03"),
        (1.2e-9, "1.2e-09"),
        (-1.2e-9, "-1.2e-09"),
        (1e4, "1.0e+04"),
        (1e300, "1.0e+300"),
        (5e-324, "4.9e-324"),
        (INF, "inf"),
        (-INF, "-inf"),
        (NAN, "–"),
        (None, "–"),
    ],
)
def test_a_quantity_may_span_decades(value, text):
    assert number(value) == text


def test_a_quantity_takes_a_few_characters_whatever_it_is():
    for exponent in range(-320, 309):
        for sign in (1, -1):
            assert len(number(sign * 9.995 * 10.0**exponent)) <= 9


@pytest.mark.parametrize(
    ("value", "text"),
    [(400, "400"), (400.0, "400"), (INF, "> 4690"), (NAN, "–")],
)
def test_a_miss_shows_the_budget_it_was_censored_at(value, text):
    assert steps(value, 4690.0) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 µs"),
        (1.5e-6, "1.5 µs"),
        (9.99e-4, "999 µs"),
        (0.00266, "2.66 ms"),
        (1.0, "1 s"),
        (61.4, "61.4 s"),
        (119.0, "119 s"),
        (120.0, "2 min"),
        (3599, "60 min"),
        (7100, "118 min"),
        (7200, "2.0 h"),
        (86400, "24.0 h"),
        (NAN, "–"),
        (INF, "–"),
    ],
)
def test_a_duration_has_the_unit_that_reads_best(value, text):
    assert seconds(value) == text


@pytest.mark.parametrize("value", [0.9996, 9.996e-4])
def test_a_duration_just_below_the_next_unit_needs_no_exponent(value):
    assert "e" not in seconds(value)


# --- sparklines ---


def test_a_sparkline_spans_its_own_range():
    assert sparkline(np.array([1.0, 10.0, 100.0, 1e7])) == "▁▂▃█"
    assert sparkline(np.array([0.0, 0.5, 1.0]), log=False) in ("▁▄█", "▁▅█")


def test_what_is_flat_looks_flat():
    assert sparkline(np.full(5, 3.0)) == "▁" * 5
    assert len(set(sparkline(np.array([1.0, 1.01, 1.02])))) == 1


def test_what_cannot_be_shown_is_a_dot():
    assert sparkline(np.array([1.0, 0.0, -1.0, NAN, INF, 100.0])) == "▁····█"
    assert sparkline(np.array([NAN, 0.0])) == "··"
    assert sparkline(np.array([])) == ""


def test_a_long_row_is_sampled_from_end_to_end():
    text = sparkline(np.logspace(0, 9, 200), 10)
    assert len(text) == 10
    assert text[0] == BLOCKS[0]
    assert text[-1] == BLOCKS[-1]
    assert list(text) == sorted(text, key=BLOCKS.index)


def test_a_single_value_is_shown():
    assert sparkline(np.array([5.0])) == "▁"


# --- columns ---


def row(**changes) -> dict:
    known = {
        "norm": "batch",
        "runs": 5,
        "reached": 2,
        "finished": 5,
        "diverged": 0,
        "failed": 0,
        "interrupted": 0,
        "missing": 0,
        "steps_to_target": INF,
        "budget_steps": 4690.0,
        "val_accuracy_mean": 0.5,
        "val_accuracy_std": NAN,
        "best_val_accuracy_mean": 0.5,
        "best_val_accuracy_std": NAN,
        "test_accuracy_mean": NAN,
        "test_accuracy_std": NAN,
        "train_accuracy_mean": 0.6,
        "train_accuracy_std": 0.1,
        "val_accuracy_precise_mean": NAN,
        "val_accuracy_precise_std": NAN,
        "auc_mean": 0.4,
        "train_seconds_per_step": 0.002,
    }
    return known | changes


def texts(columns, values: dict) -> dict[str, str]:
    return {column.heading: column.text(values) for column in columns}


def test_a_table_says_how_many_of_how_many_and_what_became_of_the_rest():
    found = texts(convergence_columns([], "97%"), row(diverged=1, failed=2, missing=1))
    assert found["reached"] == "2/5"
    assert found["steps to 97%"] == "> 4690"
    assert found["ended"] == "1 diverged, 2 failed, 1 not run"
    assert texts(convergence_columns([], "97%"), row())["ended"] == "ok"


def test_what_learned_nothing_did_not_end_well():
    assert ended(row(at_chance=5, never_left_chance=5)) == "5 at chance"
    assert ended(row(finished=2, at_chance=1, diverged=3)) == "1 at chance, 3 diverged"
    assert ended(row(finished=0, failed=5)) == "no result (5 failed)"


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("auc", 0.0312, "+0.031"),
        ("auc", -0.00001, "0.000"),
        ("val_accuracy", -0.0312, "-3.1 pp"),
        ("test_accuracy", 0.0, "0.0 pp"),
        ("steps_to_target", -40.0, "-40"),
        ("steps_to_target", INF, "+∞"),
        ("steps_to_target", -INF, "-∞"),
        ("auc", NAN, "–"),
    ],
)
def test_a_difference_has_its_sign_and_unit(metric, value, text):
    assert difference(metric, value) == text


def test_an_interval_has_its_unit_once_and_is_empty_where_there_is_none():
    assert interval("val_accuracy", -0.012, 0.034) == "-1.2 to +3.4 pp"
    assert interval("val_accuracy", -0.012, 0.034, unit=False) == "-1.2 to +3.4"
    assert interval("steps_to_target", -INF, 20.0) == "-∞ to +20"
    assert interval("auc", NAN, NAN) == ""


def test_what_was_not_timed_says_so():
    assert (timed(0.0), timed(NAN), timed(0.0021)) == ("not timed", "not timed", "2.1 ms")


def test_a_column_that_no_run_has_is_left_out():
    shown = texts(convergence_columns([], "97%", pd.DataFrame([row(), row()])), row())
    assert shown["train %"] == "60.0 ±10.0"
    assert "precise %" not in shown


def test_a_sweep_key_has_a_column_headed_by_its_last_word():
    columns = convergence_columns(["model.depth", "optimizer.lr"], "97%")
    found = texts(columns, row(**{"model.depth": 20, "optimizer.lr": 0.01}))
    assert (found["depth"], found["lr"]) == ("20", "0.01")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.125, "12 %"),
        (0.004, "0.4 %"),
        pytest.param(
            1.0,
            "100 %",
        ),
    ],
)
def test_dead_units_are_in_percent(share, text):
    values = {
        "norm": "none",
        "step": 0,
        "growth_per_layer": 1.0,
        "first_layer_grad_norm": 1.0,
        "last_layer_grad_norm": 1.0,
        "dead_units": share,
        "effective_rank": 9.0,
        "by_layer": np.ones(3),
    }
    found = texts(gradient_columns([]), values)
    (dead,) = [text for heading, text in found.items() if "dead" in heading]
    assert dead == text


def test_the_end_of_an_interval_that_rounds_to_zero_tells_its_side():
    assert interval("auc", -0.226, -5e-324) == "-0.226 to <0"
    assert interval("auc", 0.0004, 0.1) == ">0 to +0.100"
    assert interval("auc", -0.01, 0.0) == "-0.010 to 0.000"
    assert interval("val_accuracy", -0.02, -0.0004) == "-2.0 to <0 pp"
