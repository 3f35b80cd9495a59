"""Medians and bands over seeds, and layers over steps, against values known by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from normbench.analysis.curves import (
    MOST_LAYERS,
    MOST_STEPS_BY_SEED,
    bands,
    by_seed,
    layer_series,
    thinned,
)


def made(accuracies: dict[str, list[float]], **changes) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One norm, a run a name, evaluated at steps 0, 10, 20, ..."""
    runs = pd.DataFrame(
        {
            "run": list(accuracies),
            "norm": "none",
            "state": "finished",
            "diverged_at": np.nan,
            "steps_planned": 10.0 * (max(map(len, accuracies.values())) - 1),
            "num_classes": 10.0,
        }
    )
    for column, values in changes.items():
        runs[column] = values
    rows = [
        {"run": run, "step": 10 * i, "val_accuracy": value, "train_loss": value}
        for run, values in accuracies.items()
        for i, value in enumerate(values)
    ]
    return runs, pd.DataFrame(rows)


def test_the_line_is_the_median_and_the_band_the_range():
    runs, curves = made({"a": [0.1, 0.2], "b": [0.1, 0.6], "c": [0.1, 0.5]})
    last = bands(runs, curves, "val_accuracy", [], ["none"]).iloc[-1]
    assert (last["step"], last["median"], last["low"], last["high"]) == (10, 0.5, 0.2, 0.6)
    assert last["runs"] == 3


def test_after_its_divergence_a_run_counts_as_chance_or_as_an_infinite_loss():
    runs, curves = made(
        {"a": [0.1, 0.9, 0.9], "b": [0.1, 0.8]},
        state=["finished", "diverged"],
        diverged_at=[np.nan, 12.0],
    )
    table = bands(runs, curves, "val_accuracy", [], ["none"])
    assert table["low"].tolist() == pytest.approx([0.1, 0.8, 0.1])
    assert np.isinf(bands(runs, curves, "train_loss", [], ["none"])["high"].iloc[-1])


def test_where_every_seed_diverged_the_curve_goes_on_to_the_end_of_the_budget():
    runs, curves = made(
        {"a": [0.1, 0.9]}, state=["diverged"], diverged_at=[12.0], steps_planned=[40.0]
    )
    table = bands(runs, curves, "val_accuracy", [], ["none"])
    assert table["step"].tolist() == [0, 10, 40]
    assert table["median"].tolist() == pytest.approx([0.1, 0.9, 0.1])
    assert np.isinf(bands(runs, curves, "train_loss", [], ["none"])["median"].iloc[-1])


def test_a_diverged_norm_is_at_chance_wherever_another_norm_is_evaluated():
    runs, curves = made(
        {"a": [0.1, 0.9], "b": [0.1, 0.5, 0.6, 0.7], "c": []},
        norm=["none", "batch", "rms"],
        state=["diverged", "finished", "diverged"],
        diverged_at=[12.0, np.nan, 0.0],
    )
    table = bands(runs, curves, "val_accuracy", [], ["none", "batch", "rms"])
    lines = table.groupby("norm")["median"].agg(list).to_dict()
    assert lines["none"] == pytest.approx([0.1, 0.9, 0.1, 0.1])
    assert lines["rms"] == pytest.approx([0.1] * 4)
    assert lines["batch"] == [0.1, 0.5, 0.6, 0.7]


def test_a_failed_run_is_in_no_curve():
    runs, curves = made({"a": [0.1, 0.9], "b": [0.1, 0.5]}, state=["finished", "failed"])
    assert bands(runs, curves, "val_accuracy", [], ["none"])["runs"].tolist() == [1, 1]


def test_sweep_points_have_lines_of_their_own():
    runs, curves = made({"a": [0.1, 0.9], "b": [0.1, 0.5]}, **{"model.depth": [3, 4]})
    table = bands(runs, curves, "val_accuracy", ["model.depth"], ["none"])
    assert table.groupby("model.depth")["median"].last().to_dict() == {3: 0.9, 4: 0.5}


def test_a_long_curve_keeps_its_ends():
    runs, curves = made({"a": np.linspace(0, 1, 1000).tolist()})
    table = bands(runs, curves, "val_accuracy", [], ["none"], most=50)
    assert len(table) == 50
    assert table["step"].iloc[[0, -1]].tolist() == [0, 9990]


@pytest.mark.parametrize(("count", "most"), [(0, 5), (1, 5), (5, 5), (6, 5), (1000, 7)])
def test_thinning_keeps_the_ends_and_the_bound(count, most):
    kept = thinned(count, most)
    assert len(kept) == min(count, most)
    if count:
        assert (kept[0], kept[-1]) == (0, count - 1)


def test_layers_are_medians_over_runs_from_the_input():
    runs = pd.DataFrame({"run": ["a", "b", "c"], "norm": "none", "state": "finished"})
    probes = pd.DataFrame(
        [
            {"run": run, "step": 0, "g": np.array([1.0, 10.0]) * scale}
            for run, scale in (("a", 1), ("b", 2), ("c", 30))
        ]
    )
    table = layer_series(probes, runs, ["g"], [], ["none"])
    assert table[["layer", "g", "depth"]].to_numpy().tolist() == [[1, 2, 2], [2, 20, 2]]


def test_a_layer_that_one_run_has_no_number_for_is_the_median_of_the_others():
    runs = pd.DataFrame({"run": ["a", "b"], "norm": "none", "state": "finished"})
    probes = pd.DataFrame(
        [
            {"run": "a", "step": 0, "g": np.array([np.nan, 1.0, np.nan])},
            {"run": "b", "step": 0, "g": np.array([3.0, 2.0, np.nan])},
        ]
    )
    table = layer_series(probes, runs, ["g"], [], ["none"])
    assert table["g"].tolist() == pytest.approx([3.0, 1.5, np.nan], nan_ok=True)
    assert table["runs"].tolist() == [1, 2, 0]


def test_a_very_deep_network_is_thinned():
    runs = pd.DataFrame({"run": ["a"], "norm": "none", "state": "finished"})
    probes = pd.DataFrame([{"run": "a", "step": 0, "g": np.arange(200.0)}])
    table = layer_series(probes, runs, ["g"], [], ["none"])
    assert len(table) == MOST_LAYERS
    assert table["layer"].iloc[[0, -1]].tolist() == [1, 200]
    assert (table["g"] == table["layer"] - 1).all()
    assert set(table["depth"]) == {200}


def test_each_seed_has_a_curve_of_its_own_and_their_median_is_the_band():
    runs, curves = made(
        {"a": [0.1, 0.2, 0.4], "b": [0.1, 0.6], "c": [0.1, 0.5, 0.3]},
        seed=[0, 1, 2],
        state=["finished", "diverged", "finished"],
        diverged_at=[np.nan, 12.0, np.nan],
    )
    found = by_seed(runs, curves, "val_accuracy", [], ["none"])
    own = found[found["seed"] == 1]
    assert own["step"].tolist() == [0, 10, 20]
    assert own["value"].tolist() == pytest.approx([0.1, 0.6, 0.1])
    band = bands(runs, curves, "val_accuracy", [], ["none"]).set_index("step")["median"]
    assert found.groupby("step")["value"].median().tolist() == pytest.approx(band.tolist())


def test_many_steps_of_a_seed_are_thinned():
    runs, curves = made({"a": list(np.linspace(0.1, 0.9, 200))}, seed=[0])
    found = by_seed(runs, curves, "val_accuracy", [], ["none"])
    assert len(found) == MOST_STEPS_BY_SEED
    assert found["step"].iloc[-1] == 1990
