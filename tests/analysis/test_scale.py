"""A hundred thousand runs are tabulated and compared in seconds.

Measured in processor time, so that a busy machine does not fail the tests.
"""

from __future__ import annotations

import time
import tracemalloc

import numpy as np
import pandas as pd
import pytest

from normbench.analysis.comparison import compare
from normbench.analysis.convergence import outcomes, tabulate
from normbench.analysis.fairness import fairness
from normbench.analysis.signal import gradient_table

NORMS = ["none", "batch", "layer", "rms", "group", "instance"]
SEEDS = 8
EVALUATIONS = 20


def many(points: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """runs and curves of ``points`` sweep points x 6 norms x 8 seeds, 20 evaluations each."""
    rng = np.random.default_rng(0)
    point, norm, seed = (i.ravel() for i in np.indices((points, len(NORMS), SEEDS)))
    count = len(point)
    run = np.array([f"run-{i:07d}" for i in range(count)])
    state = rng.choice(["finished", "diverged", "failed"], count, p=[0.93, 0.05, 0.02])
    runs = pd.DataFrame(
        {
            "run": run,
            "norm": np.array(NORMS)[norm],
            "seed": seed,
            "state": state,
            "diverged_at": np.where(state == "diverged", rng.integers(1, 2000, count), np.nan),
            "steps_planned": 2000,
            "batch_size": 64,
            "num_classes": 10,
            "val_accuracy": rng.beta(30, 2, count),
            "val_loss": 1.0,
            "test_accuracy": rng.beta(30, 2, count),
            "train_seconds": 10.0,
            "steps_done": 2000,
            "model.depth": point,
            "backbone_sha256": "w",
            "batch_order_sha256": "b",
            "epochs_started": 3,
        }
    )
    step = np.tile(np.linspace(0, 2000, EVALUATIONS), count)
    scale = np.repeat(rng.lognormal(6, 0.5, count), EVALUATIONS)
    curves = pd.DataFrame(
        {
            "run": np.repeat(run, EVALUATIONS),
            "step": step,
            "val_accuracy": 1 - 0.9 * np.exp(-step / scale),
            "val_loss": 1.0,
            "train_loss": 1.0,
            "train_seconds": step / 200,
        }
    )
    return runs, curves


def analyse(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    keys = ["model.depth"]
    outcome = outcomes(runs, curves, [0.9])
    tabulate(outcome, keys, NORMS)
    fairness(runs, keys)
    return compare(outcome, NORMS, "none", keys)


def test_ten_thousand_runs_take_less_than_five_seconds() -> None:
    runs, curves = many(208)
    start = time.process_time()
    table = analyse(runs, curves)
    assert time.process_time() - start < 5  # 0.3 s on two quiet cores
    assert len(table) == 208 * 5 * 4


@pytest.mark.slow
def test_a_hundred_thousand_runs_take_less_than_ten_seconds() -> None:
    runs, curves = many(2083)
    start = time.process_time()
    analyse(runs, curves)
    assert time.process_time() - start < 10  # 4 s on two quiet cores


@pytest.mark.slow
def test_a_hundred_thousand_runs_need_less_than_half_a_gigabyte_beside_their_tables() -> None:
    runs, curves = many(2083)
    tracemalloc.start()
    analyse(runs, curves)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5e8


@pytest.mark.slow
def test_the_gradients_of_a_hundred_thousand_runs_take_less_than_ten_seconds() -> None:
    runs, _ = many(2083)
    layers = np.random.default_rng(0).lognormal(0, 1, (2 * len(runs), 20))
    names = ["activation_gradient", "weight_gradient", "activation_out_std", "dead_units"]
    probes = pd.DataFrame(
        {"run": np.repeat(runs["run"], 2), "step": np.tile([0, 2000], len(runs))}
        | {name: list(layers) for name in [*names, "update_ratio"]}
    )
    start = time.process_time()
    table = gradient_table(runs, probes, ["model.depth"], NORMS)
    assert time.process_time() - start < 10
    assert len(table) == 2083 * len(NORMS) * 2
