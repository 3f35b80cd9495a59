"""The propagation table on made-up measurements with known answers."""

import math
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from normbench.analysis.propagation import (
    Propagation,
    landscape_table,
    table,
)
from normbench.norms.laws import Law

DEPTH = 20
LAW = asdict(Law("none", centered=False))


def theory_inputs(**changes):
    base = {
        "law": LAW,
        "no_law": "",
        "chain": True,
        "blocks": (None,) * DEPTH,
        "outline": None,
        "no_outline": "",
        "eps": 0.0,
        "centered_weights": False,
        "placement": "pre",
        "activation": "relu",
        "weight_gain": 2.0,
        "bias_variance": 0.0,
        "batch_size": 256,
        "group_size": None,
        "channels": None,
        "shapes": ((256,),) * DEPTH,
        "gains": (2.0,) * DEPTH,
        "depth": DEPTH,
        "first_gain": 2.0,
        "input_mean_square": np.array([0.5, 2.0]),
        "input_map": None,
        "input_products": np.array([[0.5, 0.2], [0.2, 2.0]]),
    }
    return base | changes


def signals(growth: float, dead: float = 0.25):
    """Norms whose square grows by ``growth`` a layer toward the input."""
    toward_input = np.arange(DEPTH)[::-1]
    gradient = growth ** (toward_input / 2)
    return {
        "activation_gradient": gradient.tolist(),
        "weight_gradient": (gradient**2).tolist(),
        "dead_units": [dead] * DEPTH,
        "effective_rank": np.linspace(20, 3, DEPTH).tolist(),
        "example_cosine": np.linspace(0.2, 0.9, DEPTH).tolist(),
    }


def measurement(norm="none", step=0, seen=None, point=0, **changes):
    known = {"signals": seen, "theory_inputs": theory_inputs(**changes)}
    return {"sweep_point": point, "norm": norm, "step": step, **known}


def make(*measurements, points=({},)):
    return table(pd.DataFrame(list(measurements)), points)


def test_growth_is_the_geometric_mean_over_seeds_beside_theory():
    (row,) = make(measurement(seen=signals(0.5)), measurement(seen=signals(2.0))).to_dict("records")
    assert row["growth_per_layer"] == pytest.approx(1.0)
    assert row["growth_std"] == pytest.approx(1.5 / math.sqrt(2))
    assert row["weight_growth_per_layer"] == pytest.approx(1.0)
    assert row["theory"] == pytest.approx(1.0)
    assert row["ratio"] == pytest.approx(1.0)
    np.testing.assert_allclose(row["growth_by_seed"], [0.5, 2.0])
    assert (row["seeds"], row["diverged"], row["theory_note"]) == (2, 0, "")


@pytest.mark.parametrize(
    ("growth", "verdict"), [(0.5, "vanishes"), (1.002, "preserves"), (1.467, "explodes")]
)
def test_the_verdict_and_its_depth_are_of_the_squared_norm(growth, verdict):
    (row,) = make(measurement(seen=signals(growth))).to_dict("records")
    assert row["verdict"] == verdict
    assert growth ** row["depth_for_1e4"] == pytest.approx(1e4 if growth > 1 else 1e-4)
    assert row["weight_growth_per_layer"] == pytest.approx(growth**2)
    assert math.isnan(row["growth_std"])


def test_a_verdict_is_undecided_where_two_standard_errors_cross_a_border():
    near = [measurement(seen=signals(g)) for g in (1.05, 1.11, 1.08)]
    (row,) = make(*near).to_dict("records")
    error = np.std(np.log([1.05, 1.11, 1.08]), ddof=1) / math.sqrt(3)
    assert row["log_growth_se"] == pytest.approx(error)
    assert 1.08 < 1.096 < 1.08 * math.exp(2 * error)
    assert row["verdict"] == "undecided"
    alike = [measurement(seen=signals(g)) for g in (1.079, 1.081, 1.08)]
    assert make(*alike)["verdict"][0] == "preserves"


def test_one_seed_has_the_standard_error_of_theory():
    (row,) = make(measurement(seen=signals(1.08))).to_dict("records")
    # 12 middle layers of 20, so 11 steps, at width 256.
    assert row["log_growth_se"] == row["theory_se"] == pytest.approx(math.sqrt(5 / (256 * 11)))
    assert row["verdict"] == "undecided"
    assert row["z"] == pytest.approx(math.log(1.08) / row["theory_se"])
    four = make(*[measurement(seen=signals(1.08))] * 4)
    assert four["theory_se"][0] == pytest.approx(row["theory_se"] / 2)


def test_the_factor_over_the_depth_is_that_of_every_layer_to_layer_step():
    (row,) = make(measurement(seen=signals(1.3))).to_dict("records")
    first, last = signals(1.3)["activation_gradient"][0], signals(1.3)["activation_gradient"][-1]
    assert row["factor_over_depth"] == pytest.approx((first / last) ** 2)


def test_rank_and_cosine_are_of_the_last_layer_with_the_map_beside_them():
    (row,) = make(measurement(seen=signals(1.0))).to_dict("records")
    assert row["effective_rank"] == pytest.approx(3)
    assert row["example_cosine"] == pytest.approx(0.9)
    # The correlation of two examples at 0.2 / sqrt(0.5 * 2.0), through 20 layers of the
    # arc-cosine kernel.
    c = 0.2
    for _ in range(DEPTH):
        c = (math.sqrt(1 - c * c) + (math.pi - math.acos(c)) * c) / math.pi
    assert row["example_cosine_theory"] == pytest.approx(c, abs=1e-3)
    assert row["layers"][-1]["example_cosine_theory"] == row["example_cosine_theory"]
    (later,) = make(measurement(step=5, seen=signals(1.0))).to_dict("records")
    assert math.isnan(later["example_cosine_theory"])


def test_what_a_seed_lacks_is_left_out_as_in_the_tables_of_trained_runs():
    lacking = signals(1.5)
    lacking["weight_gradient"] = [math.nan] * DEPTH
    lacking["dead_units"] = [math.nan] * DEPTH
    (row,) = make(measurement(seen=lacking), measurement(seen=signals(1.0))).to_dict("records")
    assert row["weight_growth_per_layer"] == pytest.approx(1.0)
    assert row["dead_units"] == pytest.approx(0.25)
    assert row["layers"][3]["dead_units"] == 0.25
    assert row["growth_per_layer"] == pytest.approx(math.sqrt(1.5))
    (alone,) = make(measurement(seen=lacking)).to_dict("records")
    assert math.isnan(alone["weight_growth_per_layer"])
    assert math.isnan(alone["dead_units"])


def test_a_gradient_that_vanished_altogether_has_growth_zero():
    gone = signals(0.5)
    gone["activation_gradient"][8] = 0.0
    (row,) = make(measurement(seen=gone), measurement(seen=signals(1.0))).to_dict("records")
    assert (row["growth_per_layer"], row["depth_for_1e4"]) == (0, 0)
    assert row["verdict"] == "vanishes"


def residual(growth: float, **changes):
    """A stem and 6 blocks of two layers each, whose entering gradient grows by ``growth``."""
    blocks = (None, *np.repeat(range(6), 2).tolist())
    entering = np.repeat(growth ** (-np.arange(6) / 2), 2)
    seen = {
        "activation_gradient": [1.0] * 13,
        "weight_gradient": [1.0] * 13,
        "dead_units": [0.0] * 13,
        "block_gradient": [math.nan, *entering],
        "block_square": [math.nan, *np.repeat(2.0 ** np.arange(6), 2)],
        "identity_share": [math.nan, *np.repeat(np.linspace(0.5, 0.9, 6), 2)],
    }
    # Within the blocks twice as wide.
    shapes = ((256,), *((512,), (256,)) * 6)
    return measurement(seen=seen, chain=False, blocks=blocks, shapes=shapes, **changes)


def test_a_residual_network_is_read_block_by_block():
    (row,) = make(residual(1.5)).to_dict("records")
    assert row["per"] == "block"
    assert row["growth_per_layer"] == pytest.approx(1.5)
    assert row["forward_growth_per_layer"] == pytest.approx(2.0)
    assert row["factor_over_depth"] == pytest.approx(1.5**5)
    np.testing.assert_allclose(row["identity_share"], np.linspace(0.5, 0.9, 6))
    assert math.isnan(row["depth_for_1e4"])
    # 4 middle blocks of 6, so 3 steps, and the width of the stream.
    assert row["theory_se"] == pytest.approx(math.sqrt(5 / (256 * 3)))
    assert "theory knows" in row["theory_note"]


@pytest.mark.parametrize(
    ("growth", "verdict"), [(1.5, "preserves"), (20, "explodes"), (0.05, "vanishes")]
)
def test_a_residual_network_is_judged_by_its_own_depth(growth, verdict):
    (row,) = make(residual(growth)).to_dict("records")
    assert row["verdict"] == verdict


def test_layers_are_medians_over_seeds_from_the_input():
    seen = [measurement(seen=signals(g, dead)) for g, dead in ((0.5, 0), (0.8, 0.1), (2, 0.8))]
    found = make(*seen)
    layers = found["layers"][0]
    assert [layer["layer"] for layer in layers] == list(range(1, DEPTH + 1))
    assert layers[0]["activation_gradient"] == signals(0.8)["activation_gradient"][0]
    assert layers[0]["dead_units"] == 0.1
    assert found["dead_units"][0] == pytest.approx(0.3)
    long = Propagation("made-up", [], found).layers
    assert list(long.columns[:3]) == ["norm", "step", "layer"]
    assert len(long) == DEPTH


def test_a_diverged_run_stays_visible():
    rows = make(
        measurement(step=0, seen=signals(1.0)),
        measurement(step=9, seen=None),
        measurement(step=0, seen=signals(1.0)),
        measurement(step=9, seen=signals(1.0)),
        measurement("batch", 9, None),
    ).to_dict("records")
    start, end, batch = rows
    assert (start["seeds"], start["diverged"]) == (2, 0)
    assert (end["seeds"], end["diverged"], end["verdict"]) == (1, 1, "preserves")
    assert (batch["seeds"], batch["diverged"], batch["verdict"]) == (0, 1, "diverged")
    assert batch["layers"] == []
    assert math.isnan(batch["growth_per_layer"])


def test_theory_is_of_the_start_alone():
    start, end = make(
        measurement(step=0, seen=signals(1.0)), measurement(step=9, seen=signals(1.0))
    ).to_dict("records")
    assert math.isfinite(start["theory"])
    assert math.isnan(end["theory"])
    assert math.isnan(end["ratio"])


def test_sweep_points_keep_their_order_and_values():
    points = [{"model.depth": 40}, {"model.depth": 20}]
    rows = [measurement(norm, 0, signals(1.0), p) for p in (0, 1) for norm in ("none", "batch")]
    found = make(*rows, points=points)
    assert list(found.columns[:3]) == ["norm", "model.depth", "step"]
    assert list(found["model.depth"]) == [40, 40, 20, 20]


def test_the_landscape_table_takes_medians_over_what_was_measured():
    label = {"sweep_point": 0, "norm": "batch", "step": 5}
    frame = pd.DataFrame(
        [
            {**label, "loss": 1.0, "loss_low": 0.5, "loss_high": 2.0, "noise_scale": math.inf},
            {**label, "loss": 2.0, "loss_low": 1.5, "loss_high": 2.0, "noise_scale": 10.0},
            {**label, "loss": 3.0, "loss_low": 2.5, "loss_high": 3.0, "noise_scale": math.inf},
            {**label, "loss": math.nan},
        ]
    )
    (row,) = landscape_table(frame, [{}]).to_dict("records")
    assert (row["loss"], row["loss_range"], row["noise_scale"]) == (2.0, 0.5, math.inf)
    assert (row["seeds"], row["diverged"]) == (3, 1)
