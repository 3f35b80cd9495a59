"""Small tables of runs, as the store gives them to the analysis."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

BUDGET = 1000
CADENCE = 100

ResultTables = tuple[pd.DataFrame, pd.DataFrame]


def build(runs: list[dict[str, Any]]) -> ResultTables:
    """runs and curves of runs given as {norm, seed, curve: {step: accuracy}, further columns}."""
    rows, evaluations = [], []
    for number, given in enumerate(runs):
        curve = given.get("curve", {})
        row = {
            "run": given.get("run", f"run{number}"),
            "norm": "batch",
            "seed": 0,
            "state": "finished",
            "diverged_at": np.nan,
            "steps_planned": BUDGET,
            "batch_size": 32,
            "num_classes": 10,
            "val_accuracy": list(curve.values())[-1] if curve else np.nan,
            "val_loss": 1.0,
            "test_accuracy": np.nan,
            "train_seconds": 10.0,
            "steps_done": BUDGET,
        }
        row |= {name: value for name, value in given.items() if name != "curve"}
        rows.append(row)
        evaluations += [
            (row["run"], step, accuracy, 1.0, 1.0, step / 100) for step, accuracy in curve.items()
        ]
    columns = ["run", "step", "val_accuracy", "val_loss", "train_loss", "train_seconds"]
    curves = pd.DataFrame(evaluations, columns=columns)
    return pd.DataFrame(rows), curves


def rising(steps_to_target: float, target: float = 0.9) -> dict[int, float]:
    """A curve that first stands at the target at the given step (never if beyond the budget)."""
    steps = range(0, BUDGET + 1, CADENCE)
    return {step: target + 0.05 if step >= steps_to_target else 0.5 for step in steps}


@pytest.fixture
def tables() -> Callable[[list[dict[str, Any]]], ResultTables]:
    return build


@pytest.fixture
def curve() -> Callable[..., dict[int, float]]:
    return rising
