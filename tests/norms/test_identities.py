"""What methods have in common with one another, and what each is at the start."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from normbench.norms import NormPolicy, NormSlot, make_method, make_norm
from normbench.seeding import stream
from normbench.vision import torchvision

FLAT, IMAGE = NormSlot.of(8), NormSlot.of(8, 3, 4)
POLICY = NormPolicy(eps=1e-3)


def draw(slot: NormSlot, n: int = 6) -> torch.Tensor:
    return torch.from_numpy(stream(0, "x").normal(0.7, 1.5, (n, *slot.shape)))


def layer(kind: str, slot: NormSlot, policy: NormPolicy = POLICY, **options) -> nn.Module:
    return make_norm(kind, slot, policy, **options).double()


def same(one: nn.Module, other: nn.Module, slot: NormSlot) -> bool:
    """In training, and afterwards in evaluation."""
    x = draw(slot)
    trained = torch.allclose(one(x), other(x), rtol=1e-10, atol=1e-12)
    return trained and torch.allclose(one.eval()(x), other.eval()(x), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("slot", [FLAT, IMAGE])
@pytest.mark.parametrize(
    ("kind", "options", "other"),
    [
        ("zero_centered_rms", {}, "rms"),
        ("seednorm", {}, "rms"),
        ("prms", {"share": 1.0}, "rms"),
        ("ghost", {"size": 6}, "batch"),
        ("ghost", {"size": 6, "interleaved": True}, "batch"),
        ("group", {"groups": 1}, "layer"),
    ],
)
def test_one_method_is_another_at_the_start(kind, options, other, slot):
    assert same(layer(kind, slot, **options), layer(other, slot), slot)


def test_group_norm_of_single_channels_is_instance_norm_and_batch_instance_is_batch_norm():
    assert same(layer("group", IMAGE, groups=8), layer("instance", IMAGE), IMAGE)
    assert same(layer("batch_instance", IMAGE), layer("batch", IMAGE), IMAGE)


def test_batch_instance_at_gate_zero_is_instance_norm():
    closed = layer("batch_instance", IMAGE)
    nn.init.zeros_(closed.gate)
    assert same(closed, layer("instance", IMAGE), IMAGE)


@pytest.mark.parametrize("slot", [FLAT, IMAGE])
def test_layer_norm_is_rms_norm_of_the_centred_input(slot):
    x = draw(slot)
    centred = x - x.mean(tuple(range(1, x.ndim)), keepdim=True)
    torch.testing.assert_close(layer("layer", slot)(x), layer("rms", slot)(centred))


@pytest.mark.parametrize("slot", [FLAT, IMAGE])
def test_scale_norm_starts_as_rms_norm(slot):
    tiny = NormPolicy(eps=1e-12)
    x = draw(slot)
    torch.testing.assert_close(layer("scale_norm", slot, tiny)(x), layer("rms", slot, tiny)(x))


@pytest.mark.parametrize(
    ("slot", "at", "other"),
    [(IMAGE, 0, "instance"), (IMAGE, 1, "layer"), (IMAGE, 2, "batch"), (FLAT, 0, "layer")],
)
def test_switchable_norm_at_extreme_weights_is_one_of_its_parts(slot, at, other):
    one = layer("switchable", slot)
    with torch.no_grad():
        for weights in (one.mean_weights, one.var_weights):
            weights.fill_(-200.0)
            weights[at] = 200.0
    assert same(one, layer(other, slot), slot)


def test_renorm_before_its_schedule_is_batch_norm_and_later_it_is_not():
    small = NormPolicy(eps=1e-9)
    x = draw(IMAGE)
    one, batch = layer("renorm", IMAGE, small), layer("batch", IMAGE, small)
    for _ in range(3):
        torch.testing.assert_close(one(x), batch(x), rtol=1e-6, atol=1e-6)
    one.on_progress(0.03)
    torch.testing.assert_close(one(x), batch(x), rtol=1e-6, atol=1e-6)
    one.on_progress(1.0)
    assert (float(one.r_max), float(one.d_max)) == (3.0, 5.0)
    assert not torch.allclose(one(x), batch(x), rtol=1e-2)
    one.on_progress(0.095)  # halfway of d from .03 to .16
    assert float(one.d_max) == pytest.approx(2.5)


@pytest.mark.parametrize(("kind", "slope"), [("dyt", 0.5), ("derf", 1 / math.sqrt(math.pi))])
def test_a_squashing_layer_is_linear_near_zero(kind, slope):
    x = 1e-4 * draw(FLAT)
    torch.testing.assert_close(layer(kind, FLAT)(x), slope * x, rtol=1e-6, atol=0)


@pytest.mark.parametrize(("kind", "slope"), [("dyt", 1.0), ("derf", 2 / math.sqrt(math.pi))])
@pytest.mark.parametrize("slot", [FLAT, IMAGE])
def test_a_squashing_layer_of_a_small_alpha_is_linear(kind, slope, slot):
    x = draw(slot)
    y = layer(kind, slot, alpha=1e-4)(x)
    torch.testing.assert_close(y, slope * 1e-4 * x, rtol=1e-6, atol=0)


def test_dyisru_of_an_example_with_equal_features_is_rms_norm():
    x = torch.full((2, 8), 3.0).double()
    one = layer("dyisru", FLAT, spread=7 * 9.0)  # the squares of the other seven
    torch.testing.assert_close(one(x), layer("rms", FLAT, NormPolicy(eps=1e-12))(x))


def test_variance_and_mean_only_are_the_two_halves_of_batch_norm():
    x = draw(IMAGE)
    both = layer("variance_only", IMAGE)(layer("mean_only", IMAGE)(x))
    torch.testing.assert_close(both, layer("batch", IMAGE)(x))


def test_l1_batch_norm_of_a_gaussian_is_nearly_batch_norm():
    x = torch.from_numpy(stream(0, "gaussian").standard_normal((20000, 8)))
    torch.testing.assert_close(
        layer("l1_batch", FLAT)(x), layer("batch", FLAT)(x), rtol=0.03, atol=0.01
    )


def test_an_interleaved_ghost_takes_every_second_example():
    x = draw(IMAGE)
    y = layer("ghost", IMAGE, size=3, interleaved=True)(x)
    torch.testing.assert_close(y[::2], layer("batch", IMAGE)(x[::2]))
    y = layer("ghost", IMAGE, size=3)(x)
    torch.testing.assert_close(y[3:], layer("batch", IMAGE)(x[3:]))


def test_power_norm_divides_by_the_mean_square_of_earlier_batches_once_it_is_warm():
    x = draw(FLAT)
    one = layer("powernorm", FLAT)
    by_batch = one(x)
    torch.testing.assert_close(by_batch, x / torch.sqrt(x.square().mean(0) + 1e-3))
    kept = one.running_square.clone()
    one.on_progress(0.5)
    torch.testing.assert_close(one(x), x / torch.sqrt(kept + 1e-3))


def test_power_norms_backward_pass_is_the_papers():
    x, g = draw(FLAT).requires_grad_(), draw(FLAT) + 1
    one = layer("powernorm", FLAT, warmup=0.0, momentum=0.25)
    one.running_dot.fill_(0.5)
    y = one(x)
    root = torch.sqrt(torch.ones(8).double() + 1e-3)
    (dx,) = torch.autograd.grad(y, x, g)
    z = x.detach() / root
    torch.testing.assert_close(dx, (g - 0.5 * z) / root)
    want = 0.5 * (1 - 0.25 * z.square().mean(0)) + 0.25 * (g * z).mean(0)
    torch.testing.assert_close(one.running_dot, want)


def test_renorms_gradient_takes_r_and_d_as_constants():
    x, g = draw(IMAGE).requires_grad_(), draw(IMAGE) + 1
    one = layer("renorm", IMAGE)
    one.running_mean.fill_(0.2), one.running_std.fill_(1.1)
    one.on_progress(1.0)
    (dx,) = torch.autograd.grad(one(x), x, g)
    var, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    std = torch.sqrt(var + 1e-6) + 1e-3
    r = (std / 1.101).detach()  # within its bounds, and d adds nothing
    (want,) = torch.autograd.grad((x - mean) / std * r, x, g)
    torch.testing.assert_close(dx, want)


def test_activations_that_methods_bring_are_those_of_their_papers():
    x = draw(IMAGE)
    method = make_method("frn")
    unit = method.activation(IMAGE, nn.ReLU()).double()
    assert torch.equal(unit(x), F.relu(x))
    with torch.no_grad():
        unit.tau.copy_(torch.linspace(-1, 1, 8))
    assert torch.equal(unit(x), torch.maximum(x, torch.linspace(-1, 1, 8).double()[:, None, None]))
    y = make_method("selu").activation(IMAGE, nn.ReLU())(x)
    negative = 1.6732632423543772 * (torch.exp(x) - 1)
    torch.testing.assert_close(y, 1.0507009873554805 * torch.where(x > 0, x, negative))
    for kind in ("evonorm_b0", "evonorm_s0"):
        assert type(make_method(kind).activation(IMAGE, nn.ReLU())) is nn.Identity


@pytest.mark.parametrize(
    ("kind", "options", "theirs"),
    [
        ("batch", {}, lambda: nn.BatchNorm2d(8, eps=1e-3)),
        ("instance", {}, lambda: nn.InstanceNorm2d(8, eps=1e-3)),
        ("group", {"groups": 4}, lambda: nn.GroupNorm(4, 8, eps=1e-3)),
        ("layer", {}, lambda: nn.GroupNorm(1, 8, eps=1e-3)),
        ("rms", {}, lambda: nn.RMSNorm((8, 3, 4), eps=1e-3)),
    ],
)
def test_what_torch_has_is_what_it_is_here(kind, options, theirs):
    assert same(layer(kind, IMAGE, **options), theirs().double(), IMAGE)


def timm():
    torchvision()  # which timm imports
    return pytest.importorskip("timm.layers", reason="timm is not here")


@pytest.mark.parametrize(
    ("kind", "name", "given"),
    [
        ("evonorm_b0", "EvoNorm2dB0", {"eps": 1e-3}),
        ("evonorm_s0", "EvoNorm2dS0", {"eps": 1e-3, "groups": 8}),
        ("frn", "FilterResponseNormTlu2d", {"eps": 1e-3}),
    ],
)
def test_what_timm_has_is_what_it_is_here(kind, name, given):
    theirs = getattr(timm(), name)(8, **given).double()
    x = draw(IMAGE)
    ours = layer(kind, IMAGE)(x)
    torch.testing.assert_close(F.relu(ours) if kind == "frn" else ours, theirs(x))
