"""Growth per layer: closed forms, simulated norms, and (slow) networks on random images."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from normbench.analysis.signal import growth_per_layer
from normbench.analysis.theory import energy_slope, growth
from normbench.models import ACTIVATIONS, MODELS, ModelSettings
from normbench.models.assemble import assemble
from normbench.models.network import Blueprint
from normbench.norms import NormPolicy, make_method
from normbench.seeding import stream


def relu(z):
    return np.maximum(z, 0)


def step(z):
    return (z > 0).astype(float)


def functions(name: str):
    """An activation of the registry and its derivative, on arrays."""
    module = ACTIVATIONS[name]()

    def phi(z):
        return module(torch.from_numpy(np.ascontiguousarray(z))).numpy()

    def dphi(z):
        leaf = torch.from_numpy(np.ascontiguousarray(z)).requires_grad_()
        return torch.autograd.grad(module(leaf).sum(), leaf)[0].numpy()

    return phi, dphi


RELU = {"phi": relu, "dphi": step, "weight_gain": 2.0}
BATCH = {"statistics": "batch", "centered": True}
LAYER = {"statistics": "example", "centered": True}
RMS = {"statistics": "example", "centered": False}
NONE = {"statistics": "none", "centered": False}


def test_batch_norm_before_relu_gives_pi_over_pi_minus_1():
    assert growth(**BATCH, placement="pre", **RELU) == pytest.approx(np.pi / (np.pi - 1), abs=1e-12)


@pytest.mark.parametrize("kind", [LAYER, RMS])
def test_layer_and_rms_norm_before_relu_preserve(kind):
    assert growth(**kind, placement="pre", **RELU) == pytest.approx(1.0, abs=1e-12)


def test_after_relu_it_matters_whether_the_norm_centres():
    exploding = pytest.approx(np.pi / (np.pi - 1), abs=1e-12)
    assert growth(**LAYER, placement="post", **RELU) == exploding
    assert growth(**BATCH, placement="post", **RELU) == exploding
    assert growth(**RMS, placement="post", **RELU) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("gain", "expected"), [(2.0, 1.0), (1.0, 0.5), (1 / 3, 1 / 6)])
def test_without_a_norm_relu_scales_by_half_the_gain(gain, expected):
    settings = {**RELU, "weight_gain": gain}
    assert growth(**NONE, placement="pre", **settings) == pytest.approx(expected)
    images = {"depth": 30, "first_gain": 1.2, "input_mean_square": np.array([0.5, 1.0, 3.0])}
    assert growth(**NONE, placement="pre", **settings, **images) == pytest.approx(expected)


def test_the_variance_of_tanh_without_a_norm_is_followed_layer_by_layer():
    """With gain 1 it falls like 1 / depth, so growth is below 1 and rises toward it with depth."""
    phi, dphi = functions("tanh")
    found = [
        growth(**NONE, placement="pre", phi=phi, dphi=dphi, weight_gain=1.0, depth=depth,
               input_mean_square=1.0)
        for depth in (10, 30, 100)
    ]  # fmt: skip
    limit = growth(**NONE, placement="pre", phi=phi, dphi=dphi, weight_gain=1.0)
    assert found == sorted(found)
    assert found[-1] < limit == pytest.approx(1.0, abs=1e-3)


@pytest.mark.parametrize("kind", [BATCH, LAYER, RMS])
def test_finite_sizes_meet_the_limit_and_begin_at_five_values(kind):
    assert growth(**kind, placement="pre", **RELU, **sizes(kind, 4)) is None
    assert growth(**kind, placement="pre", **RELU, **sizes(kind, 5)) > 1.3
    limit = growth(**kind, placement="pre", **RELU)
    found = growth(**kind, placement="pre", **RELU, **sizes(kind, 100_000))
    assert found == pytest.approx(limit, rel=1e-4)


def sizes(kind: dict, size: int) -> dict[str, int]:
    return {"batch_size" if kind["statistics"] == "batch" else "group_size": size}


def normalize(z: np.ndarray, centered: bool) -> tuple[np.ndarray, np.ndarray]:
    if centered:
        z = z - z.mean(1, keepdims=True)
    sigma = np.sqrt((z**2).mean(1, keepdims=True))
    return z / sigma, sigma


def project(g: np.ndarray, y: np.ndarray, centered: bool) -> np.ndarray:
    if centered:
        g = g - g.mean(1, keepdims=True)
    return g - y * (g * y).mean(1, keepdims=True)


@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize("size", [8, 16])
@pytest.mark.parametrize("kind", [BATCH, LAYER, RMS])
def test_finite_sizes_agree_with_a_simulated_layer(kind, size, activation):
    """One row a feature (batch) or a group; the norm's backward pass is written out here."""
    phi, dphi = functions(activation)
    batch, centered = kind["statistics"] == "batch", kind["centered"]
    rng, rows = stream(0, "simulated"), 200_000
    y, _ = normalize(rng.standard_normal((rows, size)), centered)
    variance = (phi(y) ** 2).mean()
    if batch:
        variance = phi(y).var(1, ddof=1).mean()
    z = np.sqrt(1.7 * variance) * rng.standard_normal((rows, size))
    y, sigma = normalize(z, centered)
    above = rng.standard_normal((rows, size))
    if batch:
        above -= above.mean(1, keepdims=True)
    below = project(dphi(y) * above * np.sqrt(1.7), y, centered) / sigma
    found = growth(
        **kind, placement="pre", phi=phi, dphi=dphi, weight_gain=1.7, **sizes(kind, size)
    )
    assert found == pytest.approx((below**2).sum() / (above**2).sum(), rel=0.01)


@pytest.mark.parametrize("kind", [BATCH, LAYER, RMS])
def test_after_the_activation_finite_sizes_meet_the_limit_too(kind):
    limit = growth(**kind, placement="post", **RELU)
    found = [growth(**kind, placement="post", **RELU, **sizes(kind, n)) for n in (16, 64, 511)]
    assert found == sorted(found, reverse=True)
    assert found[-1] == pytest.approx(limit, rel=0.02)
    assert found[-1] > limit


@pytest.mark.parametrize("size", [6, 40])
@pytest.mark.parametrize("kind", [BATCH, LAYER, RMS])
def test_after_the_activation_finite_sizes_are_those_of_simulated_norms(kind, size):
    phi, dphi = functions("tanh")
    rng = np.random.default_rng(0)
    groups, gain = 40_000, 1.7
    z = rng.standard_normal((groups, size))
    above = rng.standard_normal((groups, size))
    if kind is BATCH:  # what comes out of the norm below is centred, and so is what comes down
        z -= z.mean(1, keepdims=True)
        z *= np.sqrt(size / (size - 1))
        above -= above.mean(1, keepdims=True)
    z *= np.sqrt(gain)
    y, scale = normalize(phi(z), kind["centered"])
    down = above - kind["centered"] * above.mean(1, keepdims=True)
    down -= y * (down * y).mean(1, keepdims=True)
    below = dphi(z) * down / scale
    if kind is BATCH:
        below = below - below.mean(1, keepdims=True)
    wanted = gain * (below**2).sum() / (above**2).sum()
    found = growth(
        **kind, placement="post", phi=phi, dphi=dphi, weight_gain=gain, **sizes(kind, size)
    )
    assert found == pytest.approx(wanted, rel=0.02)


def test_where_theory_has_no_value_there_is_none():
    # Of so few values most are dead units, and the mean hangs on a few groups that nearly are.
    assert growth(**LAYER, placement="post", **RELU, group_size=6) is None
    assert growth(**LAYER, placement="post", **RELU, group_size=4) is None
    assert growth(**BATCH, placement="pre", **RELU, batch_size=4) is None


def test_a_bias_shrinks_the_growth_of_norms_that_divide_by_it():
    assert growth(**RMS, placement="pre", **RELU, bias_variance=1.0) == pytest.approx(0.5)
    assert growth(**BATCH, placement="pre", **RELU, bias_variance=1.0) == pytest.approx(
        np.pi / (np.pi - 1)
    )


def test_gelu_and_silu_leave_the_symmetric_fixed_point_and_the_others_do_not():
    slopes = {name: energy_slope(*functions(name)) for name in ACTIVATIONS}
    assert {name for name, slope in slopes.items() if slope > 1 + 1e-9} == {"gelu", "silu"}
    assert slopes["relu"] == pytest.approx(1.0)


MEASURED = [
    ("none", "relu", "he_normal", "pre", {}),
    ("none", "relu", "xavier_normal", "pre", {}),
    ("none", "tanh", "xavier_normal", "pre", {}),
    ("batch", "relu", "he_normal", "pre", {}),
    ("batch", "tanh", "he_normal", "pre", {}),
    ("batch", "relu", "he_normal", "post", {}),
    ("layer", "gelu", "he_normal", "pre", {}),
    ("layer", "relu", "xavier_normal", "post", {}),
    ("rms", "silu", "he_normal", "post", {}),
    ("group", "relu", "he_normal", "pre", {"groups": 32}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "activation", "init", "placement", "options"), MEASURED)
def test_theory_agrees_with_wide_networks(kind, activation, init, placement, options):
    depth, width, batch, gain = 30, 512, 256, {"he_normal": 2.0, "xavier_normal": 1.0}[init]
    method = make_method(kind, NormPolicy(), **options)
    settings = ModelSettings(activation=activation, init=init, placement=placement)
    found = []
    for seed in range(5):
        rng = stream(seed, "images")
        x = torch.from_numpy(rng.standard_normal((batch, width), dtype=np.float32))
        shape, classes = (1, 1, width), 10
        sizes = MODELS["mlp"].Options(depth=depth, width=width)
        blueprint = Blueprint("mlp", sizes, settings)
        network = assemble(blueprint, method, shape, classes, seed, batch).module
        outputs: list[torch.Tensor] = []
        for block in network.blocks:
            block.linear.register_forward_hook(lambda m, i, z, outputs=outputs: outputs.append(z))
        loss = F.cross_entropy(network(x), torch.from_numpy(rng.integers(0, classes, batch)))
        gradients = torch.autograd.grad(loss, outputs)
        found.append(growth_per_layer([float(g.double().norm()) for g in gradients]))
    phi, dphi = functions(activation)
    expected = growth(
        statistics=method.traits.statistics,
        centered=method.traits.centered,
        placement=placement,
        phi=phi,
        dphi=dphi,
        weight_gain=gain,
        batch_size=batch,
        group_size=width // options.get("groups", 1),
        depth=depth,
        input_mean_square=1.0,
    )
    assert np.mean(found) == pytest.approx(expected, rel=0.03)
