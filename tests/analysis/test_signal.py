"""Growth per layer and the gradient table."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from normbench.analysis.signal import (
    TABLE_COLUMNS,
    depth_for_factor,
    gradient_table,
    growth_of_rows,
    growth_per_layer,
    layers_fitted,
    log_growth_sd,
    middle_layers,
    propagation,
)


def geometric(growth: float, depth: int, last: float = 1.0) -> np.ndarray:
    """Gradient norms, input first, whose square grows by ``growth`` a layer toward the input."""
    return last * growth ** (np.arange(depth)[::-1] / 2)


@given(st.floats(0.3, 3), st.integers(2, 60), st.floats(1e-6, 1e6))
def test_growth_is_that_of_the_squared_norm_toward_the_input(
    growth: float, depth: int, last: float
) -> None:
    assert growth_per_layer(geometric(growth, depth, last)) == pytest.approx(growth, rel=1e-6)


def test_growth_equals_numpys_polynomial_fit_over_the_middle_layers() -> None:
    norms = np.random.default_rng(0).lognormal(0, 1, 20)
    middle = norms[4:16]
    slope = np.polyfit(-np.arange(12), np.log(middle**2), 1)[0]
    assert growth_per_layer(norms) == pytest.approx(math.exp(slope))


@pytest.mark.parametrize(
    ("depth", "kept"), [(2, (0, 2)), (4, (0, 4)), (5, (1, 4)), (9, (1, 8)), (20, (4, 16))]
)
def test_the_middle_leaves_out_a_fifth_at_either_end(depth: int, kept: tuple[int, int]) -> None:
    layers = middle_layers(depth)
    assert (layers.start, layers.stop) == kept


def test_the_outer_layers_do_not_count() -> None:
    norms = geometric(0.8, 10)
    norms[[0, 1, -1, -2]] = [0.0, np.inf, np.nan, 1e9]
    assert growth_per_layer(norms) == pytest.approx(0.8)


def test_an_exactly_zero_gradient_has_vanished_and_an_infinite_one_exploded() -> None:
    rows = np.stack([geometric(1.2, 10)] * 4)
    rows[0, 4] = 0.0
    rows[1, 4] = np.inf
    rows[2, 4:6] = [0.0, np.inf]
    rows[3, 4] = np.nan
    growth = growth_of_rows(rows)
    assert growth[:2].tolist() == [0.0, np.inf]
    assert np.isnan(growth[2])
    assert growth[3] == pytest.approx(1.2)


def test_fewer_than_two_usable_layers_have_no_growth() -> None:
    assert math.isnan(growth_per_layer([1.0]))
    assert math.isnan(growth_per_layer([np.nan, 1.0, np.nan]))


def test_squares_beyond_floating_point_do_not_matter() -> None:
    assert growth_per_layer(geometric(1e-10, 30, last=1e-150)) == pytest.approx(1e-10)


def test_depth_for_factor_counts_layers() -> None:
    assert depth_for_factor(10.0) == pytest.approx(4)
    assert depth_for_factor(0.1) == pytest.approx(4)
    assert depth_for_factor(math.pi / (math.pi - 1)) == pytest.approx(24.03, abs=0.01)
    assert depth_for_factor(1.0) == math.inf
    assert depth_for_factor(0.0) == depth_for_factor(math.inf) == 0
    assert math.isnan(depth_for_factor(math.nan))


@pytest.mark.parametrize(
    ("growth", "word"),
    [
        (0.0, "vanishes"),
        (0.9, "vanishes"),
        (0.92, "preserves"),
        (1.0, "preserves"),
        (1.09, "preserves"),
        (1.1, "explodes"),
        (math.inf, "explodes"),
        (math.nan, ""),
    ],
)
def test_the_word_for_a_growth_allows_a_factor_of_ten_thousand_over_a_hundred_layers(
    growth: float, word: str
) -> None:
    assert propagation(growth) == word


def probe(run: str, step: int, gradient: np.ndarray, dead: float = 0.25) -> dict[str, object]:
    flat = np.ones(len(gradient))
    return {
        "run": run,
        "step": step,
        "activation_gradient": gradient,
        "weight_gradient": geometric(1.0, len(gradient)),
        "activation_in_mean": flat,
        "activation_in_std": flat,
        "activation_out_mean": flat,
        "activation_out_std": np.linspace(1, 2, len(gradient)),
        "dead_units": dead * flat,
        "update_ratio": 0.01 * flat,
    }


def test_the_table_summarizes_seeds_at_the_first_and_the_last_step(tables) -> None:
    runs, _ = tables([{"run": r, "seed": i, "norm": "rms"} for i, r in enumerate("abc")])
    probes = pd.DataFrame(
        [
            probe(r, 0, geometric(g, 10), dead)
            for r, g, dead in zip("abc", (0.5, 1, 2), (0, 0, 0.3), strict=True)
        ]
        + [probe(r, 5, geometric(3.0, 10)) for r in "abc"]
        + [probe(r, 9, geometric(0.9, 10, last=2.0)) for r in "abc"]
    )
    table = gradient_table(runs, probes, [], ["rms"])
    assert list(table.columns) == ["norm", *TABLE_COLUMNS]
    assert table["step"].tolist() == [0, 9]
    first, last = table.iloc[0], table.iloc[1]
    assert first["growth_per_layer"] == pytest.approx(1.0)
    assert first["dead_units"] == pytest.approx(0.1)
    assert first["runs"] == 3
    assert first["vanished"] == 0
    assert first["activation_std_first"] == 1
    assert first["activation_std_last"] == 2
    assert first["update_ratio"] == pytest.approx(0.01)
    assert last["growth_per_layer"] == pytest.approx(0.9)
    assert last["weight_growth_per_layer"] == pytest.approx(1.0)
    assert last["last_layer_grad_norm"] == pytest.approx(2.0)
    assert last["first_layer_grad_norm"] == pytest.approx(2 * 0.9**4.5)
    assert last["by_layer"] == pytest.approx(geometric(0.9, 10, last=2.0))


def test_depth_may_differ_between_sweep_points_and_norms_keep_their_order(tables) -> None:
    runs, _ = tables(
        [
            {"run": f"{norm}{depth}", "norm": norm, "model.depth": depth}
            for norm in ("batch", "none")
            for depth in (20, 10)
        ]
    )
    probes = pd.DataFrame(
        [probe(run.run, 0, geometric(0.5, int(run.run[-2:]))) for run in runs.itertuples()]
    )
    table = gradient_table(runs, probes, ["model.depth"], ["none", "batch"])
    assert table["model.depth"].tolist() == [10, 10, 20, 20]
    assert table["norm"].tolist() == ["none", "batch"] * 2
    assert [len(layers) for layers in table["by_layer"]] == [10, 10, 20, 20]
    assert table["growth_per_layer"].tolist() == pytest.approx([0.5] * 4)


def test_a_vanished_seed_shows_and_nan_probes_leave_the_rest(tables) -> None:
    runs, _ = tables([{"run": r, "seed": i} for i, r in enumerate("abc")])
    dead = geometric(1.0, 10)
    dead[:6] = 0
    probes = pd.DataFrame(
        [probe("a", 0, geometric(0.5, 10)), probe("b", 0, np.full(10, np.nan)), probe("c", 0, dead)]
    )
    row = gradient_table(runs, probes, [], ["batch"]).iloc[0]
    assert row["growth_per_layer"] == 0
    assert (row["runs"], row["vanished"]) == (3, 1)
    assert row["last_layer_grad_norm"] == 1


def test_a_run_that_diverged_early_is_not_in_the_last_row_and_a_failed_one_in_none(tables) -> None:
    runs, _ = tables(
        [
            {"run": "a"},
            {"run": "b", "seed": 1, "state": "diverged"},
            {"run": "c", "seed": 2, "state": "failed"},
        ]
    )
    ok = geometric(1.0, 6)
    probes = pd.DataFrame(
        [
            *(probe("a", 0, ok), probe("a", 99, ok), probe("b", 0, ok), probe("b", 7, ok)),
            *(probe("c", 0, ok), probe("c", 200, ok), probe("of another experiment", 300, ok)),
        ]
    )
    table = gradient_table(runs, probes, [], ["batch"])
    assert table[["step", "runs"]].to_numpy().tolist() == [[0, 2], [99, 1]]


def test_without_probes_the_table_is_empty_with_its_columns(tables) -> None:
    runs, _ = tables([{"run": "a"}])
    none = pd.DataFrame([probe("a", 0, geometric(1.0, 5))]).iloc[:0]
    table = gradient_table(runs, none, [], ["batch"])
    assert len(table) == 0
    assert list(table.columns) == ["norm", *TABLE_COLUMNS]


SIZES = np.array([[8.0, 8.0, 8.0, 4.0, 4.0, 4.0, 2.0, 2.0, 2.0]])


def test_the_line_has_a_height_of_its_own_in_each_stage():
    """Between stages the norm jumps; within them it grows by 1.5 a layer toward the input."""
    squared = 1.5 ** -np.arange(9.0) * np.repeat([1.0, 7.0, 0.01], 3)
    norms = np.sqrt(squared)[None]
    assert growth_of_rows(norms, SIZES)[0] == pytest.approx(1.5)
    assert growth_of_rows(norms)[0] != pytest.approx(1.5, rel=0.2)
    for unknown in (np.array([[np.nan]]), np.full((1, 9), np.nan)):
        assert growth_of_rows(norms, unknown)[0] == growth_of_rows(norms)[0]


def test_rows_of_different_stages_stand_side_by_side():
    rng = np.random.default_rng(0)
    norms = rng.random((3, 9)) + 0.1
    sizes = np.concatenate([SIZES, np.ones((1, 9)), SIZES[:, ::-1]])
    found = growth_of_rows(norms, sizes)
    for row in range(3):
        alone = growth_of_rows(norms[row : row + 1], sizes[row : row + 1])[0]
        assert found[row] == pytest.approx(alone)


def test_stages_of_one_layer_leave_nothing_to_fit():
    assert np.isnan(growth_of_rows(np.ones((1, 4)), np.array([[4.0, 3.0, 2.0, 1.0]]))[0])
    assert layers_fitted(4, [4, 3, 2, 1]) == 0
    assert np.isnan(log_growth_sd(256, 0))


def test_the_steps_of_a_fit_are_those_within_stages():
    assert layers_fitted(20) == 11  # the middle 12
    assert layers_fitted(9, SIZES[0]) == 4  # layers 2 to 8: 1 + 2 + 1
    assert log_growth_sd(256, 11) == pytest.approx(math.sqrt(5 / (256 * 11)))
