"""Methods of weights in whole networks: their formulas, their start, and what moves them."""

import copy
import math

import numpy as np
import pytest
import torch
from tiny import CNN, only, run_config, trained, weights
from torch import nn
from torch.nn.utils import parametrizations

from normbench.config import RunConfig
from normbench.errors import ConfigError
from normbench.models.swap import swap
from normbench.norms import make_method
from normbench.norms.scaled_weight_standardization import ScaledStandardized, activation_gain
from normbench.seeding import stream
from normbench.training import events
from normbench.training.run import Run
from normbench.vision import torchvision

WEIGHTS = (
    "weight_norm",
    "weight_standardization",
    "scaled_weight_standardization",
    "spectral_norm",
)


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_are_by_the_formula_and_keep_their_role(digits, kind):
    run = Run(run_config(*CNN, norm=kind), digits)
    plain = Run(run_config(*CNN, norm="none"), digits)
    for place, (layer, before) in enumerate(
        zip(run.assembled.products(), plain.assembled.products(), strict=True)
    ):
        v = before.weight.detach().double().numpy()
        rows = v.reshape(len(v), -1)
        centred = rows - rows.mean(1, keepdims=True)
        if kind == "weight_norm":
            want = rows
        elif kind == "weight_standardization":
            want = centred / np.sqrt(rows.var(1, keepdims=True) + 1e-6)
        elif kind == "scaled_weight_standardization":
            gamma = 1.0 if place == 0 else math.sqrt(2 / (1 - 1 / math.pi))
            spread = np.maximum(rows.var(1, keepdims=True) * rows.shape[1], 1e-4)
            want = gamma * centred / np.sqrt(spread)
        else:
            want = rows / np.linalg.norm(rows, 2)
        found = layer.weight.detach().double().numpy().reshape(rows.shape)
        allowed = 0.1 if kind == "spectral_norm" else 1e-5
        np.testing.assert_allclose(found, want, rtol=allowed, atol=1e-6)
    roles = [role for name, role in run.assembled.roles.items() if "parametrizations" in name]
    assert roles.count("weight") == len(run.assembled.products())


@pytest.mark.parametrize("kind", WEIGHTS)
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 3, 3)])
def test_weights_can_be_differentiated_twice(kind, shape):
    layer = nn.Conv2d(3, 4, 3) if len(shape) == 4 else nn.Linear(3, 4)
    held = make_method(kind).weight(layer.double()).double()
    inverse = getattr(held, "right_inverse", lambda w: (w,))
    inputs = [v.detach().clone().requires_grad_() for v in inverse(layer.weight)]
    assert torch.autograd.gradcheck(held, inputs)
    assert torch.autograd.gradgradcheck(held, inputs)


@pytest.mark.parametrize("layer", [nn.Linear(6, 4), nn.Conv2d(3, 4, 3)], ids=["linear", "conv"])
def test_weight_and_spectral_norm_are_those_of_torch(layer):
    drawn = stream(0, "weight").standard_normal(layer.weight.shape, dtype=np.float32)
    layer.weight.data.copy_(torch.from_numpy(drawn))
    theirs = parametrizations.weight_norm(copy.deepcopy(layer))
    own = make_method("weight_norm").weight(layer)
    g, v = own.right_inverse(layer.weight)
    torch.testing.assert_close(own(g, v), theirs.weight)
    torch.testing.assert_close(g, theirs.parametrizations.weight.original0)
    theirs = parametrizations.spectral_norm(copy.deepcopy(layer), n_power_iterations=500)
    held = make_method("spectral_norm").weight(layer)
    for _ in range(500):
        held.iterate(layer.weight.detach().flatten(1))
    torch.testing.assert_close(held(layer.weight), theirs.weight, rtol=1e-4, atol=1e-5)


def test_standardized_weights_are_those_of_timm():
    torchvision()  # which timm imports
    timm = pytest.importorskip("timm.layers", reason="timm is not here")
    theirs = timm.StdConv2d(3, 4, 3, eps=1e-6)
    x = torch.from_numpy(stream(0, "x").standard_normal((2, 3, 5, 5), dtype=np.float32))
    w = make_method("weight_standardization").weight(theirs)(theirs.weight)
    torch.testing.assert_close(
        theirs(x), nn.functional.conv2d(x, w, theirs.bias, padding=theirs.padding)
    )
    scaled = timm.ScaledStdConv2d(3, 4, 3, gamma=activation_gain(nn.ReLU()), eps=1e-12)
    own = ScaledStandardized(4, activation_gain(nn.ReLU()))
    torch.testing.assert_close(
        scaled(x), nn.functional.conv2d(x, own(scaled.weight), scaled.bias, padding=scaled.padding)
    )


@pytest.mark.parametrize("model", [(), CNN], ids=["mlp", "cnn"])
def test_a_network_under_weight_norm_is_the_one_without_at_step_0(digits, model):
    outputs = []
    for norm in ("weight_norm", "none"):
        run = Run(run_config(*model, norm=norm), digits)
        outputs.append(run.network(run.data.batch(run.train_indices[:16])[0]))
    torch.testing.assert_close(*outputs)


def test_a_unit_weight_norm_has_rows_of_length_one(digits):
    run = Run(run_config(norm="{kind: weight_norm, init: unit}"), digits)
    lengths = torch.linalg.vector_norm(run.assembled.products()[0].weight, dim=1)
    torch.testing.assert_close(lengths, torch.ones_like(lengths))
    assert run.assembled.reinitialized


@pytest.mark.parametrize("model", [(), CNN, ("model.bias=false",)], ids=["mlp", "cnn", "no bias"])
def test_a_weight_norm_from_data_standardizes_the_outputs_of_every_layer(digits, model):
    data = "{kind: weight_norm, init: data}"
    run = Run(run_config(*model, norm=data), digits)
    again = Run(run_config(*model, norm=data), digits)
    plain = Run(run_config(*model, norm="none"), digits)
    assert run.backbone_sha256 == plain.backbone_sha256
    assert all(map(torch.equal, run.network.parameters(), again.network.parameters()))
    few = stream(0, "init", "data").permutation(run.train_indices)[:256]
    found = []
    for layer in run.assembled.products():
        layer.register_forward_hook(lambda _, args, y: found.append(y))
    run.network(run.data.batch(few)[0])
    for y in found:
        over = (0, *range(2, y.ndim))
        var, mean = torch.var_mean(y, over, correction=0)
        torch.testing.assert_close(var, torch.ones_like(var), atol=1e-3, rtol=0)
        if model != ("model.bias=false",):
            torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-4, rtol=0)
    for layer, drawn in zip(run.assembled.products(), plain.assembled.products(), strict=True):
        v = layer.parametrizations.weight.original1
        assert float(v.detach().square().mean().sqrt()) == pytest.approx(0.05, rel=1e-4)
        cosine = torch.cosine_similarity(v.flatten(), drawn.weight.flatten(), dim=0)
        assert float(cosine.detach()) == pytest.approx(1.0, abs=1e-5)


def test_a_weight_norm_from_data_is_told_as_reinitialized(digits):
    run = Run(run_config(norm="{kind: weight_norm, init: data}"), digits)
    names = {f"blocks.{i}.linear.{part}" for i in range(3) for part in ("weight", "bias")}
    assert set(run.assembled.reinitialized) == names
    (told,) = run.started().own_terms
    assert told.startswith("other values at the start of 6 parameters: v short, g and bias by a")
    assert Run(run_config(norm="weight_norm"), digits).started().own_terms == ()


def test_a_swap_for_a_weight_norm_from_data_takes_those_of_its_example():
    x = torch.from_numpy(stream(0, "x").standard_normal((32, 16), dtype=np.float32))
    net = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3))
    swap(net, "weight_norm", example=x, init="data")
    var, mean = torch.var_mean(net[0](x), 0, correction=0)
    torch.testing.assert_close((mean, var), (torch.zeros(8), torch.ones(8)), atol=1e-3, rtol=0)


def test_a_weight_norm_from_data_resumes_and_stacks_as_it_is_alone(digits):
    data, short = "{kind: weight_norm, init: data}", "training={steps: 6, evaluate_every: 3}"
    config = run_config(short, norm=data)
    before = trained(config, digits, stop_at=4)
    after = trained(config, digits, resume=only(before, events.Checkpointed)[-1].state)
    whole = weights(trained(config, digits))
    assert all(torch.equal(value, whole[name]) for name, value in weights(after).items())
    stacked = weights(trained(run_config(short, "runtime.stack=2", norm=data), digits))
    for name, value in stacked.items():
        torch.testing.assert_close(value, whole[name], rtol=1e-4, atol=1e-5)


def test_options_of_weights_beside_a_norm_reach_them(digits):
    run = Run(run_config(norm="{kind: batch, weights: {kind: weight_norm, init: data}}"), digits)
    seen = []
    for layer in run.assembled.products():
        layer.register_forward_hook(lambda _, args, y: seen.append(y))
    few = stream(0, "init", "data").permutation(run.train_indices)[:256]
    run.network(run.data.batch(few)[0])
    for y in seen:
        torch.testing.assert_close(
            y.var(0, correction=0), torch.ones(y.shape[1]), atol=1e-3, rtol=0
        )
    assert "blocks.0.linear.weight" in run.assembled.reinitialized
    law = run.assembled.method.law(run.assembled.slots[0])
    assert law == "theory has no law of weights and biases that go together, as data set them"


def test_options_of_weights_are_written_in_a_section_or_left_at_their_defaults():
    written = [
        run_config(norm=f"{{kind: group, groups: 2, weights: {text}}}")
        for text in ("weight_norm", "{kind: wn}", "{kind: weight_norm, init: keep}")
    ]
    assert len({config.identity() for config in written}) == 1
    assert {config.norm.weights for config in written} == {"weight_norm"}
    other = run_config(norm="{kind: group, groups: 2, weights: {kind: weight_norm, init: data}}")
    assert other.identity() != written[0].identity()
    assert other.label == "group(groups=2,weights=weight_norm(init=data))"
    assert RunConfig.model_validate(other.resolved()).identity() == other.identity()


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ("{kind: weight_norm, init: dta}", "init"),
        ("{kind: weight_norm, inti: data}", "unknown key 'inti'"),
        ("{kind: weight_standardization, init: data}", "it belongs to weight_norm"),
        ("{kind: layer}", "layer is not a method of weights"),
        ("3", "must be a section of keys"),
    ],
)
def test_a_mistake_in_the_options_of_weights_is_a_sentence(weights, told):
    with pytest.raises(ConfigError, match=told):
        run_config(norm=f"{{kind: batch, weights: {weights}}}")


def test_the_gain_of_an_activation_is_one_over_its_deviation():
    assert activation_gain(nn.ReLU()) == pytest.approx(math.sqrt(2 / (1 - 1 / math.pi)), rel=1e-6)
    assert activation_gain(nn.Identity()) == pytest.approx(1.0, rel=1e-9)


def test_weights_go_with_a_norm(digits):
    run = Run(run_config(norm="{kind: batch, weights: weight_standardization}"), digits)
    w = run.assembled.products()[0].weight
    torch.testing.assert_close(w.mean(1), torch.zeros(len(w)), atol=1e-5, rtol=0)
    assert run.assembled.norms()[0].running_mean is not None


def test_only_an_update_moves_the_vectors_of_spectral_norm(digits):
    run = Run(run_config(norm="spectral_norm"), digits)
    other = Run(run_config(norm="spectral_norm", seed=1), digits)
    name = "blocks.1.linear.parametrizations.weight.0.u"
    start = run.network.get_buffer(name).clone()
    assert not torch.equal(start, other.network.get_buffer(name))
    run.start_epoch()
    run.network.train()
    for _ in range(3):
        run.backward(*run.next_batch())
    run.evaluate(run.data, run.validation_indices)
    assert torch.equal(run.network.get_buffer(name), start)
    run.update()
    assert not torch.equal(run.network.get_buffer(name), start)
    for _ in range(8):
        run.update()
    w = run.network.get_submodule("blocks.1.linear").parametrizations.weight.original.detach()
    v = run.network.get_buffer(name.removesuffix("u") + "v")
    sigma = torch.linalg.matrix_norm(w, 2)
    torch.testing.assert_close(torch.linalg.vector_norm(w @ v), sigma, rtol=0.05, atol=0)
