"""What makes a comparison fair: under every norm the rest of the network is the same to the bit."""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from normbench.models import INITS, MODELS, ModelSettings, Network
from normbench.models.base import build
from normbench.norms import NORMS, NormPolicy, make_method

IMAGE = (8, 8, 1)
CLASSES = 10
# The plain chains of blocks; other models are held to the fairness tests alone.
SMALL: dict[str, dict[str, int]] = {
    "mlp": {"depth": 3, "width": 16},
    "cnn": {"depth": 4, "stages": 2, "width": 8},
}


def options(kind: str) -> Any:
    return MODELS[kind].Options(**SMALL.get(kind, {}))


def suitable(kind: str) -> list[str]:
    """The norms that make sense in this network."""
    sites = MODELS[kind].sites(options(kind), IMAGE)
    return [
        norm
        for norm in NORMS
        if not any(make_method(norm, NormPolicy()).problem(site, 32) for site in sites)
    ]


def network(
    kind: str, norm: str, settings: ModelSettings = ModelSettings(), seed: int = 0
) -> Network:
    method = make_method(norm, NormPolicy())
    return build(kind, options(kind), settings, method, IMAGE, CLASSES, seed)


def backbone(net: Network) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in net.backbone()}


def batch(kind: str, size: int = 5) -> Tensor:
    shape = (size, 64) if MODELS[kind].layout == "flat" else (size, 1, 8, 8)
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))


@pytest.mark.parametrize("placement", ["pre", "post"])
@pytest.mark.parametrize("init", list(INITS))
@pytest.mark.parametrize("kind", list(MODELS))
def test_the_backbone_is_bitwise_the_same_under_every_norm(kind, init, placement):
    settings = ModelSettings(init=init, placement=placement)
    expected = network(kind, "none", settings)
    assert len(suitable(kind)) >= 4
    for norm in suitable(kind):
        found = network(kind, norm, settings)
        assert found.backbone_sha256() == expected.backbone_sha256()
        ours, theirs = backbone(found), backbone(expected)
        assert ours.keys() == theirs.keys()
        for name in ours:
            assert ours[name].numpy().tobytes() == theirs[name].numpy().tobytes(), name


@pytest.mark.parametrize("kind", list(MODELS))
def test_the_backbone_does_not_depend_on_what_was_built_or_drawn_before(kind):
    alone = network(kind, "layer").backbone_sha256()
    for norm in reversed(suitable(kind)):
        torch.manual_seed(len(norm))
        torch.rand(3)
        np.random.rand(3)
        assert network(kind, norm).backbone_sha256() == alone


@pytest.mark.parametrize("kind", list(MODELS))
@pytest.mark.parametrize("init", list(INITS))
def test_every_weight_differs_under_another_seed(kind, init):
    one, other = (
        backbone(network(kind, "batch", ModelSettings(init=init), seed)) for seed in (0, 1)
    )
    for name in one:
        if name.endswith("weight"):
            assert not one[name].equal(other[name]), name


@pytest.mark.parametrize("kind", list(SMALL))
def test_layers_of_one_shape_start_differently(kind):
    drawn = [block.linear.weight for block in network(kind, "none").blocks]
    for one, other in itertools.combinations(drawn, 2):
        assert one.shape != other.shape or not one.equal(other)


@pytest.mark.parametrize("kind", list(SMALL))
def test_parameter_names_are_stable(kind):
    # Streams are named after them: another name is another network.
    depth = SMALL[kind]["depth"]
    expected = [f"blocks.{i}.linear.{w}" for i in range(depth) for w in ("weight", "bias")]
    assert [name for name, _ in network(kind, "batch").backbone()] == [
        *expected,
        "head.weight",
        "head.bias",
    ]


@pytest.mark.parametrize("kind", list(SMALL))
def test_the_backbone_and_the_norms_are_all_there_is(kind):
    net = network(kind, "batch")
    inside = {f"blocks.{i}.norm.{w}" for i in range(len(net.blocks)) for w in ("weight", "bias")}
    names = {name for name, _ in net.backbone()}
    assert names.isdisjoint(inside)
    assert names | inside == {name for name, _ in net.named_parameters()}


@pytest.mark.parametrize("kind", list(SMALL))
def test_norm_parameters_start_as_ones_and_zeros(kind):
    for norm in suitable(kind):
        for block in network(kind, norm).blocks:
            for name, value in block.norm.named_parameters():
                assert set(value.flatten().tolist()) == {1.0 if name == "weight" else 0.0}


def test_the_hash_is_of_names_and_bytes():
    net = network("mlp", "layer")
    digest = hashlib.sha256()
    for name, value in net.backbone():
        digest.update(name.encode() + b"\0" + value.detach().numpy().tobytes())
    assert net.backbone_sha256() == digest.hexdigest()


@pytest.mark.parametrize("kind", list(SMALL))
def test_one_changed_bit_changes_the_hash_and_a_changed_norm_does_not(kind):
    net = network(kind, "batch")
    before = net.backbone_sha256()
    with torch.no_grad():
        net.blocks[0].norm.weight += 1
        assert net.backbone_sha256() == before
        weight = net.head.weight.view(-1)
        weight[0] = torch.nextafter(weight[0], torch.tensor(9.0))
    assert net.backbone_sha256() != before


def order_of_calls(net: Network, x: Tensor) -> list[str]:
    """The names of the leaf modules in the order they run."""
    calls: list[str] = []
    for name, module in net.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    net(x)
    return calls


@pytest.mark.parametrize("kind", list(SMALL))
@pytest.mark.parametrize(
    ("placement", "order"),
    [("pre", ("linear", "norm", "activation")), ("post", ("linear", "activation", "norm"))],
)
def test_the_norm_sits_where_the_placement_says_and_never_at_the_input_or_the_head(
    kind, placement, order
):
    net = network(kind, "batch", ModelSettings(placement=placement))
    depth = SMALL[kind]["depth"]
    expected = [f"blocks.{i}.{part}" for i in range(depth) for part in order]
    assert order_of_calls(net, batch(kind)) == [*expected, "head"]


@pytest.mark.parametrize("kind", list(SMALL))
@pytest.mark.parametrize("placement", ["pre", "post"])
def test_the_logits_are_those_of_the_formula(kind, placement):
    net = network(kind, "layer", ModelSettings(placement=placement, init="torch_default"))
    x = batch(kind)
    h = x
    for block in net.blocks:
        weight, bias = block.linear.weight, block.linear.bias
        if kind == "mlp":
            z = h @ weight.T + bias
        else:
            z = nn.functional.conv2d(h, weight, bias, stride=block.linear.stride, padding=1)
        over = tuple(range(1, z.ndim))

        def normalized(t: Tensor, over: tuple[int, ...] = over) -> Tensor:
            t = t - t.mean(over, keepdim=True)
            return t / torch.sqrt((t**2).mean(over, keepdim=True) + 1e-5)

        h = torch.relu(normalized(z)) if placement == "pre" else normalized(torch.relu(z))
    if h.ndim == 4:
        h = h.mean((2, 3))
    expected = h @ net.head.weight.T + net.head.bias
    assert net(x).detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-5)


@pytest.mark.parametrize("kind", list(SMALL))
def test_without_bias_no_layer_has_one_whatever_the_norm(kind):
    for norm in suitable(kind):
        names = [name for name, _ in network(kind, norm, ModelSettings(bias=False)).backbone()]
        assert not [name for name in names if name.endswith("bias")]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("placement", ["pre", "post"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "rms", "instance"])
def test_a_network_knows_whether_it_feels_the_scale_of_its_weights(norm, placement, activation):
    settings = ModelSettings(activation=activation, init="torch_default", placement=placement)
    options = MODELS["cnn"].Options(depth=4, stages=1, width=8)
    method = make_method(norm, NormPolicy(eps=1e-12))
    net = build("cnn", options, settings, method, (6, 6, 1), 4, 0)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 1, 6, 6), dtype=np.float32))
    first, second, *_ = net.layers
    with torch.no_grad():
        before = second(first(x))
        for parameter in second.linear.parameters():
            parameter *= 3
        assert torch.allclose(second(first(x)), before, rtol=1e-3, atol=1e-4) == net.scale_invariant
