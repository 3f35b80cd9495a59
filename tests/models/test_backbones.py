"""What makes a comparison fair: under every norm the rest of the network is the same to the bit."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from networks import CHAINS, CLASSES, FORMS, batch, fitting, network, plan, without_gradient
from tiny import EVERYDAY
from torch import Tensor, nn

from normbench.models import INITS, MODELS, Chain, ModelSettings
from normbench.models.assemble import assemble
from normbench.models.network import Blueprint, Network
from normbench.norms import NormPolicy, make_method


def chain(net: Network) -> Chain:
    assert isinstance(net.module, Chain)
    return net.module


def backbone(net: Network) -> dict[str, Tensor]:
    """The parameters outside the norms."""
    return {
        name: parameter.detach()
        for name, parameter in net.module.named_parameters()
        if net.roles[name] != "norm"
    }


def check_bitwise(form: str, settings: ModelSettings, norms: Sequence[str]) -> None:
    expected = network(form, "none", settings)
    for norm in norms:
        torch.manual_seed(len(norm))  # nothing depends on the generators of the process
        np.random.seed(len(norm))
        found = network(form, norm, settings)
        assert found.backbone_sha256 == expected.backbone_sha256
        if found.method.standard_layers:
            ours, theirs = backbone(found), backbone(expected)
            assert ours.keys() == theirs.keys()
            for name in ours:
                assert ours[name].numpy().tobytes() == theirs[name].numpy().tobytes(), name


@pytest.mark.parametrize("form", list(FORMS))
def test_the_backbone_is_bitwise_the_same_under_every_norm(form):
    norms = fitting(plan(form))
    assert len(norms) >= 4
    check_bitwise(form, ModelSettings(), norms)


@pytest.mark.parametrize("form", list(FORMS))
def test_the_backbone_is_so_under_every_initialization(form):
    for init in INITS:
        check_bitwise(form, ModelSettings(init=init), ("batch", "rms"))


@pytest.mark.parametrize("kind", list(CHAINS))
def test_the_backbone_is_so_too_with_the_norm_behind_the_activation(kind):
    check_bitwise(kind, ModelSettings(placement="post"), ("batch", "layer", "rms", "group"))


def test_every_kind_of_ours_is_tested_here():
    ours = {kind for kind in MODELS if not MODELS[kind].open}
    assert {kind for kind, _ in FORMS.values()} == ours


@pytest.mark.parametrize("everyday", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("form", list(FORMS))
def test_every_network_trains_under_every_norm_and_every_parameter_has_a_gradient(form, everyday):
    for norm in fitting(plan(form)):
        if (norm in EVERYDAY) is everyday:
            net = network(form, norm)
            assert not without_gradient(net, batch(net, 8)), norm


@pytest.mark.parametrize("form", list(FORMS))
def test_every_weight_differs_under_another_seed(form):
    for init in INITS:
        one, other = (
            backbone(network(form, "batch", ModelSettings(init=init), seed)) for seed in (0, 1)
        )
        for name in one:
            if name.endswith("weight"):
                assert not one[name].equal(other[name]), name


@pytest.mark.parametrize("kind", list(CHAINS))
def test_layers_of_one_shape_start_differently(kind):
    drawn = [product.weight for product in network(kind, "none").products()]
    assert len(drawn) == CHAINS[kind]["depth"]
    for one, other in itertools.combinations(drawn, 2):
        assert one.shape != other.shape or not one.equal(other)


@pytest.mark.parametrize("kind", list(CHAINS))
def test_parameter_names_are_stable(kind):
    # Streams are named after them: another name is another network.
    depth = CHAINS[kind]["depth"]
    expected = [f"blocks.{i}.linear.{w}" for i in range(depth) for w in ("weight", "bias")]
    assert list(backbone(network(kind, "batch"))) == [*expected, "head.weight", "head.bias"]


@pytest.mark.parametrize("form", list(FORMS))
def test_the_backbone_and_the_norms_are_all_there_is(form):
    net = network(form, "batch")
    inside = {f"{slot.path}.{w}" for slot in net.slots for w in ("weight", "bias")}
    if any(slot.is_tokens for slot in net.slots):  # within what brings tokens to a layer of rows
        inside = {name.replace(".weight", ".norm.weight") for name in inside}
        inside = {name.replace(".bias", ".norm.bias") for name in inside}
    everything = {name for name, _ in net.module.named_parameters()}
    assert {name for name in everything if net.roles[name] == "norm"} == inside


@pytest.mark.parametrize("kind", list(CHAINS))
def test_norm_parameters_start_as_ones_and_zeros(kind):
    for norm in ("batch", "layer", "rms", "group"):
        for block in chain(network(kind, norm)).blocks:
            for name, value in block.norm.named_parameters():
                assert set(value.flatten().tolist()) == {1.0 if name == "weight" else 0.0}


@pytest.mark.parametrize("norm", ["none", "layer"])
def test_the_hash_is_of_names_and_bytes(norm):
    net = network("mlp", norm)
    digest = hashlib.sha256()
    for name, value in backbone(net).items():
        digest.update(name.encode() + b"\0" + value.numpy().tobytes())
    assert net.backbone_sha256 == digest.hexdigest()


def order_of_calls(net: nn.Module, x: Tensor) -> list[str]:
    """The names of the leaf modules in the order they run."""
    calls: list[str] = []
    for name, module in net.named_modules():
        if not list(module.children()):
            module.register_forward_hook(lambda *_, name=name: calls.append(name))
    net(x)
    return calls


@pytest.mark.parametrize("kind", list(CHAINS))
@pytest.mark.parametrize(
    ("placement", "order"),
    [("pre", ("linear", "norm", "activation")), ("post", ("linear", "activation", "norm"))],
)
def test_the_norm_sits_where_the_placement_says_and_never_at_the_input_or_the_head(
    kind, placement, order
):
    net = network(kind, "batch", ModelSettings(placement=placement))
    depth = CHAINS[kind]["depth"]
    expected = [f"blocks.{i}.{part}" for i in range(depth) for part in order]
    assert order_of_calls(net.module, batch(net)) == [*expected, "head"]


@pytest.mark.parametrize("kind", list(CHAINS))
@pytest.mark.parametrize("placement", ["pre", "post"])
def test_the_logits_are_those_of_the_formula(kind, placement):
    net = network(kind, "layer", ModelSettings(placement=placement, init="torch_default"))
    module = chain(net)
    x = batch(net)
    h = x
    for block in module.blocks:
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
    expected = h @ module.head.weight.T + module.head.bias
    assert module(x).detach().numpy() == pytest.approx(expected.detach().numpy(), abs=1e-5)


@pytest.mark.parametrize("form", list(FORMS))
def test_without_bias_no_layer_has_one_whatever_the_norm(form):
    for norm in set(EVERYDAY) & set(fitting(plan(form))):
        net = network(form, norm, ModelSettings(bias=False))
        assert not [name for name in backbone(net) if name.endswith("bias")]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("placement", ["pre", "post"])
@pytest.mark.parametrize("norm", ["none", "batch", "layer", "rms", "instance"])
def test_a_network_knows_whether_it_feels_the_scale_of_its_weights(norm, placement, activation):
    settings = ModelSettings(activation=activation, init="torch_default", placement=placement)
    blueprint = Blueprint("cnn", MODELS["cnn"].Options(depth=4, stages=1, width=8), settings)
    net = assemble(blueprint, make_method(norm, NormPolicy(eps=1e-12)), (6, 6, 1), CLASSES, 0)
    x = batch(net, image=(6, 6, 1))
    first, second, *_ = chain(net).blocks
    with torch.no_grad():
        before = second(first(x))
        for parameter in second.linear.parameters():
            parameter *= 3
        same = torch.allclose(second(first(x)), before, rtol=1e-3, atol=1e-4)
    assert net.scale_invariant() == [same] * 4
