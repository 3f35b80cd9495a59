"""How alike examples become: against closed forms, sampled Gaussians, and networks."""

import numpy as np
import pytest
import torch
from torch import nn

from normbench.analysis.activations import functions
from normbench.analysis.correlation import FEW, mean_cosines
from normbench.analysis.quadrature import pairs

LAYER = {"statistics": "example", "centered": True}
RMS = {"statistics": "example", "centered": False}
NONE = {"statistics": "none", "centered": False}
BATCH = {"statistics": "batch", "centered": True}


def relu(z):
    return np.maximum(z, 0)


def two(cosine: float) -> np.ndarray:
    """The products of two inputs of mean square 1."""
    return np.array([[1.0, cosine], [cosine, 1.0]])


def arc_cosine(c: float) -> float:
    """Cho & Saul 2009, of order 1, normalized."""
    return (np.sqrt(1 - c * c) + (np.pi - np.arccos(c)) * c) / np.pi


def test_pairs_of_nodes_have_the_moments_of_correlated_gaussians():
    cosines, one, other, weight = pairs(9)
    assert weight.sum(1) == pytest.approx(1)
    assert (one**2 * weight).sum(1) == pytest.approx(1)
    assert (one * other * weight).sum(1) == pytest.approx(cosines, abs=1e-12)
    assert (one**2 * other**2 * weight).sum(1) == pytest.approx(1 + 2 * cosines**2)


@pytest.mark.parametrize("kind", [LAYER, RMS, NONE])
@pytest.mark.parametrize("cosine", [-0.5, 0.0, 0.3, 0.9, 1.0])
def test_relu_passes_correlations_through_the_arc_cosine_kernel(kind, cosine):
    found = mean_cosines(
        **kind, placement="pre", phi=relu, gains=[2.0] * 8, bias_variance=0.0,
        input_products=two(cosine),
    )  # fmt: skip
    wanted = []
    for _ in range(8):
        cosine = arc_cosine(cosine)
        wanted.append(cosine)
    assert found == pytest.approx(wanted, abs=2e-3)


def test_a_norm_that_centres_after_the_activation_takes_away_what_examples_share():
    settings = {"phi": relu, "gains": [2.0] * 30, "bias_variance": 0.0, "input_products": two(0.5)}
    layer = mean_cosines(**LAYER, placement="post", **settings)
    rms = mean_cosines(**RMS, placement="post", **settings)
    assert layer[-1] == pytest.approx(1 / np.pi, abs=1e-3)
    assert rms[-1] > 0.95


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_batch_norm_keeps_examples_apart_in_deep_layers(placement):
    found = mean_cosines(
        **BATCH, placement=placement, phi=relu, gains=[2.0] * 20, bias_variance=0.0,
        input_products=two(0.9), batch_size=10**6,
    )  # fmt: skip
    assert np.isnan(found[:-1]).all()
    assert found[-1] == pytest.approx(1 / np.pi)
    few = mean_cosines(
        **BATCH, placement=placement, phi=relu, gains=[2.0], bias_variance=0.0,
        input_products=two(0.9), batch_size=8,
    )  # fmt: skip
    assert few[-1] < 1 / np.pi


def test_few_values_a_statistic_have_no_cosine():
    found = mean_cosines(
        **LAYER, placement="pre", phi=relu, gains=[2.0] * 3, bias_variance=0.0,
        input_products=two(0.1), group_size=FEW - 1,
    )  # fmt: skip
    assert np.isnan(found).all()


@pytest.mark.parametrize("bias", [0.0, 0.3])
@pytest.mark.parametrize("activation", ["relu", "tanh", "gelu"])
@pytest.mark.parametrize(("kind", "placement"), [(NONE, "pre"), (LAYER, "pre"), (RMS, "post")])
def test_the_map_is_that_of_a_wide_network(kind, placement, activation, bias):
    depth, width, gain = 5, 1500, 1.6
    rng = np.random.default_rng(1)
    x = rng.standard_normal((6, 40))
    x /= np.sqrt((x**2).mean(1, keepdims=True))
    h, found, phi = x, [], functions(activation)[0]
    for _ in range(depth):
        w = rng.standard_normal((h.shape[1], width)) * np.sqrt(gain / h.shape[1])
        z = h @ w + np.sqrt(bias) * rng.standard_normal(width)
        h = phi(normalized(z, kind)) if placement == "pre" else phi(z)
        unit = h / np.linalg.norm(h, axis=1, keepdims=True)
        found.append((unit @ unit.T)[np.triu_indices(6, 1)].mean())
        if placement == "post":
            h = normalized(h, kind)
    wanted = mean_cosines(
        **kind, placement=placement, phi=phi, gains=[gain] * depth, bias_variance=bias,
        input_products=x @ x.T / 40,
    )  # fmt: skip
    assert found == pytest.approx(wanted, abs=0.04)


def normalized(z: np.ndarray, kind: dict) -> np.ndarray:
    if kind is NONE:
        return z
    if kind["centered"]:
        return nn.functional.layer_norm(torch.from_numpy(z), z.shape[1:]).numpy()
    return z / np.sqrt((z**2).mean(1, keepdims=True))
