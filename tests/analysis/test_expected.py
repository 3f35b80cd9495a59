"""What theory expects of each law of a layer: closed forms, simulated layers, and its reasons."""

import math
from dataclasses import asdict, replace
from statistics import NormalDist

import numpy as np
import pytest

from normbench.analysis.activations import functions
from normbench.analysis.chain import growths, partial_growth
from normbench.analysis.expected import expected, expected_cosines
from normbench.analysis.maps import through
from normbench.norms import NORMS, NormSlot, make_method
from normbench.norms.laws import Law
from normbench.seeding import stream

DEPTH, WIDTH = 20, 256
PI = np.pi


def inputs(law="none", *, centered=False, changes=None, **others):
    """Of a chain of ReLU layers under He initialization. law: a statistics, or a ``Law``."""
    law = replace(Law(law, centered), **(changes or {})) if isinstance(law, str) else law
    base = {
        "law": None if law is None else asdict(law),
        "no_law": "" if law else "it says nothing",
        "chain": True,
        "blocks": (None,) * DEPTH,
        "outline": None,
        "no_outline": "",
        "eps": 0.0,
        "placement": "pre",
        "activation": "relu",
        "weight_gain": 2.0,
        "centered_weights": False,
        "bias_variance": 0.0,
        "batch_size": 100_000,
        "group_size": None,
        "channels": None,
        "shapes": ((WIDTH,),) * DEPTH,
        "gains": (2.0,) * DEPTH,
        "depth": DEPTH,
        "first_gain": 2.0,
        "input_mean_square": np.ones(2),
        "input_map": None,
        "input_products": np.eye(2),
    }
    return base | others


def of(name, slot=None, **others):
    """The expectation for a method of the registry."""
    kind, options = (name, {}) if isinstance(name, str) else name
    law = make_method(kind, **options).law(slot or NormSlot.of(WIDTH))
    known = {"group_size": WIDTH, **others}
    return expected(**inputs(None if isinstance(law, str) else law, **known))


@pytest.mark.parametrize(
    ("name", "growth", "forward"),
    [
        ("batch", PI / (PI - 1), 1),
        ("l1_batch", PI / (PI - 1), 1),
        ("renorm", PI / (PI - 1), 1),
        ("batch_frozen_scale", PI / (PI - 1), 1),
        ("mean_only", 1, 1 - 1 / PI),
        ("rms", 1, 1),
        ("scale_norm", 1, 1),
        ("seednorm", 1, 1),
        ("zero_centered_rms", 1, 1),
        ("prms", 1, 1),
        ("weight_norm", 1, 1),
    ],
)
def test_before_relu_the_laws_have_these_values(name, growth, forward):
    found = of(name)
    assert found.note == ""
    assert found.growth == pytest.approx(growth, rel=0.01)
    assert found.forward == pytest.approx(forward, rel=0.01)


@pytest.mark.parametrize("alpha", [0.1, 0.5])
@pytest.mark.parametrize(("kind", "slope"), [("dyt", 1.0), ("derf", 2 / math.sqrt(PI))])
def test_a_small_signal_passes_points_as_their_slope_at_zero_says(kind, slope, alpha):
    found = of((kind, {"alpha": alpha}))
    small = (alpha * slope) ** 2  # gain 2, half of it behind ReLU
    assert found.growth == pytest.approx(small, rel=0.03)
    assert found.forward == pytest.approx(small, rel=0.03)


def test_a_ghost_batch_has_the_growth_of_a_batch_of_its_size():
    ghost = of(("ghost", {"size": 16})).growth
    assert ghost == of("batch", batch_size=16).growth > of("batch").growth
    assert of(("ghost", {"size": 999}), batch_size=64).growth == of("batch", batch_size=64).growth


def test_weights_that_sum_to_zero_take_the_mean_away_and_leave_the_gradient():
    gain = 2 / (1 - 1 / PI)
    gains = {"gains": (gain,) * DEPTH, "weight_gain": gain}
    found = expected(**inputs("none", centered_weights=True, **gains))
    assert found.forward == pytest.approx(1, rel=1e-6)
    assert found.growth == pytest.approx(PI / (PI - 1), rel=1e-6)


def test_a_layer_by_layer_map_of_batch_norm_is_its_closed_law():
    law = asdict(Law("batch", centered=True, mixture=(1.0, 0.0, 1.0, 0.0)))
    known = {"centered_weights": False, "bias_variance": 0.0, "group_size": None}
    for activation in ("relu", "tanh", "elu"):
        found = growths(
            law, functions(activation), (2.0,) * DEPTH, input_products=None, batch_size=None,
            **known,
        )  # fmt: skip
        closed = of("batch", activation=activation)
        assert found == pytest.approx((closed.growth, 1), rel=1e-4)


def jacobian_energy(value, z, draws=40):
    """E |J^T g|^2 / E |g|^2 of a layer on [N, F], by differences along random directions."""
    rng, found, step = np.random.default_rng(1), [], 1e-5
    for _ in range(draws):
        v = rng.standard_normal(z.shape)
        along = (value(z + step * v) - value(z - step * v)) / (2 * step)
        found.append((along**2).sum() / (v**2).sum())
    return np.mean(found)


def relu(z):
    return np.maximum(z, 0)


LAYERS = {
    "mean_only": lambda z: relu(z - z.mean(0)),
    "variance_only": lambda z: relu(z / z.std(0)),
    "powernorm": lambda z: relu(z / np.sqrt((z**2).mean(0))),
    "switchable": lambda z: relu(
        (z - z.mean(0) / 2 - z.mean(1, keepdims=True) / 2)
        / np.sqrt(z.var(0) / 2 + z.var(1, keepdims=True) / 2)
    ),
    "bhyt": lambda z: relu(np.tanh(0.2 * z / np.sqrt((z**2).mean(1, keepdims=True)))),
    "dyt": lambda z: relu(np.tanh(0.5 * z)),
}


@pytest.mark.parametrize("name", sorted(LAYERS))
def test_the_map_of_a_layer_is_that_of_the_layer_on_gaussian_numbers(name):
    """What comes out, what examples share in it, and the gradient: 400 examples of 400 features."""
    q, c, size = 1.7, 0.9, 400
    rng = stream(0, "layer")
    # What examples share is spread over features as a Gaussian is, without the chance of a draw.
    shared = rng.permutation([NormalDist().inv_cdf((i + 0.5) / size) for i in range(size)])
    own = rng.standard_normal((size, size))
    z = np.sqrt(c) * shared + np.sqrt(q - c) * own
    law = asdict(make_method(name).law(NormSlot.of(size)))
    found = through(q, c, functions("relu"), law, size, size)
    out = LAYERS[name](z)
    assert found.square == pytest.approx((out**2).mean(), rel=0.03)
    assert found.mean == pytest.approx(out.mean(), rel=0.03)
    assert found.shared == pytest.approx((out.mean(0) ** 2).mean(), rel=0.06)
    assert found.slope == pytest.approx(jacobian_energy(LAYERS[name], z), rel=0.04)


def test_evonorm_before_nothing_is_a_gated_number_over_its_groups_deviation():
    size, q = 8, 1.3
    z = np.sqrt(q) * stream(0, "groups").standard_normal((40_000, size))

    def layer(x):
        return x / (1 + np.exp(-x)) / x.std(1, keepdims=True)

    law = asdict(make_method("evonorm_s0").law(NormSlot.of(WIDTH)))
    found = through(q, 0.0, functions("identity"), law, None, size)
    assert found.square == pytest.approx((layer(z) ** 2).mean(), rel=0.03)
    assert found.slope == pytest.approx(jacobian_energy(layer, z, 8), rel=0.03)


def test_of_few_features_the_divisor_of_all_is_felt_where_the_activation_has_a_scale():
    few, many = (partial_growth(functions("tanh"), n, 10_000) for n in (16, 4096))
    assert few > many > 1
    assert partial_growth(functions("relu"), 16, 256) == pytest.approx(1, rel=1e-9)
    assert partial_growth(functions("relu"), 4, 256) is None
    assert many == pytest.approx(of("rms", activation="tanh").growth, rel=0.01)


def test_where_chance_is_not_enlarged_a_narrow_network_has_the_value_of_a_wide_one():
    for activation in ("relu", "tanh", "selu"):
        narrow, wide = (
            expected(**inputs(activation=activation, shapes=((width,),) * DEPTH)).growth
            for width in (256, 4096)
        )
        assert narrow == wide > 0


def test_a_channel_over_its_own_root_mean_square_is_as_a_feature_is():
    flat, image = (
        expected(**inputs(law="batch", shapes=(shape,) * DEPTH)) for shape in ((8,), (8, 16, 16))
    )
    assert image.growth == flat.growth > 1
    assert image.forward == pytest.approx(1)


@pytest.mark.parametrize("name", NORMS.names())
def test_every_method_has_a_law_or_says_why_it_has_none(name):
    method = make_method(name)
    for slot in (NormSlot.of(64), NormSlot.of(64, 4, 4)):
        law = method.law(slot)
        assert isinstance(law, Law) or len(law) > 20


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"chain": False}, "plain chains"),
        ({"law": None, "no_law": "why"}, "why"),
        ({"activation": "mine"}, "does not know the activation mine"),
        ({"law": "batch", "centered": True, "activation": "silu"}, "unstable"),
        ({"law": "batch", "centered": True, "placement": "post", "batch_size": 4}, "5 or more"),
        ({"law": "batch", "centered": True, "batch_size": 3}, "5 or more"),
        ({"law": "example", "centered": True, "placement": "post", "group_size": 6}, "too rough"),
        ({"activation": "gelu", "shapes": ((32,),) * DEPTH}, "chance differences"),
        ({"law": "batch", "activation": "gelu"}, "unstable"),
        ({"centered_weights": True, "activation": "silu"}, "chance differences"),
        ({"law": "batch", "placement": "post"}, "before the activation"),
        ({"law": "batch", "shapes": ((8, 4, 4),) * DEPTH}, "16x16 positions or more"),
        (
            {"law": "batch", "activation": "tanh", "shapes": ((8, 16, 16),) * DEPTH},
            "fully connected",
        ),
    ],
)
def test_where_theory_has_no_value_it_says_why(changes, word):
    found = expected(**inputs(**changes))
    assert math.isnan(found.growth)
    assert math.isnan(found.forward)
    assert word in found.note


def test_a_method_that_declares_no_traits_has_no_theory():
    from normbench.norms.base import NormMethod, NormPolicy

    class Own(NormMethod):
        """Whatever it does."""

    assert "does not declare" in Own(NormPolicy(), Own.Options()).law(NormSlot.of(4))


@pytest.mark.parametrize(
    "changes",
    [
        {"law": None},
        {"chain": False},
        {"input_products": None},
        {"centered_weights": True},
        {"changes": {"gate": ("tanh", 0.5, 1.0)}},
    ],
)
def test_where_the_map_of_correlations_does_not_hold_there_is_no_cosine(changes):
    assert expected_cosines(**inputs(**changes)) is None
