"""Backbones and batches are compared within a seed and sweep point, and nowhere else."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from normbench.analysis.fairness import Fairness, fairness


def runs(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """Rows of (run, norm, seed, backbone, batches, epochs started[, depth])."""
    columns = ["run", "norm", "seed", "backbone_sha256", "batch_order_sha256", "epochs_started"]
    frame = pd.DataFrame([row[:6] for row in rows], columns=columns)
    return frame.assign(depth=[row[6] if len(row) > 6 else 0 for row in rows])


def test_equal_hashes_are_identical() -> None:
    table = runs(
        ("a", "none", 0, "w0", "b0", 3),
        ("b", "batch", 0, "w0", "b0", 3),
        ("c", "none", 1, "w1", "b1", 3),
        ("d", "batch", 1, "w1", "b1", 3),
    )
    assert fairness(table, []) == Fairness(True, True, (), 4)


def test_the_run_that_differs_from_the_others_is_named() -> None:
    table = runs(
        ("a", "none", 0, "w0", "b0", 3),
        ("b", "batch", 0, "other", "b0", 3),
        ("c", "rms", 0, "w0", "b0", 3),
        ("d", "layer", 0, "w0", "shuffled", 3),
    )
    assert fairness(table, []) == Fairness(False, False, ("b", "d"), 4)


def test_of_two_that_differ_the_first_counts_as_right() -> None:
    table = runs(("a", "none", 0, "z", "b0", 3), ("b", "batch", 0, "c", "b0", 3))
    assert fairness(table, []) == Fairness(False, True, ("b",), 2)


def test_sweep_points_are_not_compared_with_each_other() -> None:
    table = runs(
        ("a", "none", 0, "w10", "b0", 3, 10),
        ("b", "none", 0, "w20", "b0", 3, 20),
        ("c", "batch", 0, "w20", "b0", 3, 20),
    )
    assert fairness(table, ["depth"]) == Fairness(True, True, (), 2)
    assert not fairness(table, []).backbones_identical


def test_a_run_that_ended_early_is_compared_on_its_backbone_only() -> None:
    table = runs(("a", "none", 0, "w0", "short", 1), ("b", "batch", 0, "w0", "long", 3))
    assert fairness(table, []) == Fairness(True, True, (), 2)


@pytest.mark.parametrize("absent", [None, float("nan")])
def test_a_run_without_hashes_is_left_out(absent: object) -> None:
    table = runs(("a", "none", 0, "w0", "b0", 3), ("b", "batch", 0, absent, absent, 0))
    assert fairness(table, []) == Fairness(True, True, (), 0)


def test_no_runs_compare_nothing() -> None:
    assert fairness(runs(), []) == Fairness(True, True, (), 0)
