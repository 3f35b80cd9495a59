"""Every norm computes as exactly as the others: in bf16, under autocast, far from zero."""

from __future__ import annotations

import itertools

import pytest
import torch
from tiny import CNN, run_config
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from normbench.models.assemble import assemble
from normbench.models.base import MODELS, ModelSettings
from normbench.models.network import Blueprint
from normbench.norms import NORMS, NormMethod, NormPolicy, NormSlot, make_method, make_norm
from normbench.seeding import stream
from normbench.training.run import Run

SLOTS = {"flat": NormSlot.of(64), "image": NormSlot.of(16, 12, 12)}
# Features of vectors have no axes to choose among.
LAYOUTS = [("flat", "chw"), *itertools.product(("image", "image-channels_last"), ("chw", "c"))]


def axes_matter(kind: str, slot: NormSlot) -> bool:
    """Whether the norm computes another thing over C than over C,H,W."""
    x = torch.from_numpy(stream(0, "axes").standard_normal((3, *slot.shape))).float()
    one, other = (make_norm(kind, slot, NormPolicy(axes=axes))(x) for axes in ("chw", "c"))
    return not torch.equal(one, other)


def every_case():
    for kind, (layout, axes) in itertools.product(NORMS, LAYOUTS):
        method, slot = make_method(kind), SLOTS[layout.partition("-")[0]]
        known = method.traits.statistics not in (None, "none")
        if not known or method.problem(slot, 64) is not None:
            continue
        if axes == "chw" or axes_matter(kind, slot):
            yield pytest.param(kind, layout, axes, id=f"{kind}-{layout}-{axes}")


CASES = list(every_case())


def draw(layout: str, name: str, n: int = 64, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """float32 [n, F] or [n, C, H, W] in the layout's memory order."""
    shape = (n, *SLOTS[layout.partition("-")[0]].shape)
    x = torch.from_numpy(stream(0, name).normal(mean, std, shape)).float()
    if layout.endswith("channels_last"):
        x = x.contiguous(memory_format=torch.channels_last)
    return x


def layer_for(kind: str, layout: str, axes: str) -> nn.Module:
    layer = make_norm(kind, SLOTS[layout.partition("-")[0]], NormPolicy(axes=axes))
    rng = stream(0, "affine")
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.from_numpy(rng.normal(1.0, 0.3, tuple(p.shape))))
    return layer


def results(layer: nn.Module, x: Tensor, gradient: Tensor) -> list[Tensor]:
    """The output, and the gradients of the input and of each parameter."""
    x = x.clone().requires_grad_()
    y = layer(x)
    gradients = torch.autograd.grad(y, [x, *layer.parameters()], gradient.to(y.dtype))
    return [y.detach(), *gradients]


def exact(kind: str, layout: str, axes: str, x: Tensor, gradient: Tensor) -> list[Tensor]:
    """The same in float64 and contiguous, where PyTorch's kernels are right."""
    layer = layer_for(kind, layout, axes).double()
    return results(layer, x.double().contiguous(), gradient.double().contiguous())


def error(found: Tensor, wanted: Tensor) -> float:
    return float((found.double() - wanted).norm() / wanted.norm())


@pytest.mark.parametrize(("kind", "layout", "axes"), CASES)
def test_in_bf16_the_gradients_of_a_norms_parameters_are_summed_in_float32(kind, layout, axes):
    x = draw(layout, "x").bfloat16()
    # With a mean, as gradients have it: sums then grow, and small terms fall off a short mantissa.
    gradient = draw(layout, "g", mean=0.003, std=0.01).bfloat16()
    layer = layer_for(kind, layout, axes)
    with torch.autocast("cpu", torch.bfloat16):
        y, dx, *parameters = results(layer, x, gradient)
    y_exact, dx_exact, *wanted = exact(kind, layout, axes, x, gradient)
    assert (y.dtype, dx.dtype) == (torch.bfloat16, torch.bfloat16)
    assert error(y, y_exact) < 3e-3
    assert error(dx, dx_exact) < 3e-3
    for p, w in zip(parameters, wanted, strict=True):
        assert p.dtype is torch.float32
        assert error(p, w) < 2e-5


@pytest.mark.parametrize(("kind", "layout", "axes"), CASES)
def test_in_a_stack_in_bf16_as_well(kind, layout, axes):
    x, gradient = draw(layout, "x").bfloat16(), draw(layout, "g", mean=0.003, std=0.01).bfloat16()
    layer = layer_for(kind, layout, axes)
    stacked = {
        n: torch.stack([p.detach()] * 2).requires_grad_() for n, p in layer.named_parameters()
    }
    buffers = {n: torch.stack([b] * 2) for n, b in layer.named_buffers()}

    def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor) -> Tensor:
        return functional_call(layer, (parameters, buffers), (x,))

    with torch.autocast("cpu", torch.bfloat16):
        y = vmap(one)(stacked, buffers, torch.stack([x, x]))
    assert y.dtype is torch.bfloat16
    found = torch.autograd.grad(y, list(stacked.values()), torch.stack([gradient] * 2))
    _, _, *wanted = exact(kind, layout, axes, x, gradient)
    for p, w in zip(found, wanted, strict=True):
        assert error(p[0], w) < 2e-5
        assert error(p[1], w) < 2e-5


@pytest.mark.parametrize("offset", [0.0, 100.0, -1000.0])
@pytest.mark.parametrize(("kind", "layout", "axes"), CASES)
def test_a_mean_of_many_standard_deviations_costs_no_more_than_its_rounding(
    kind, layout, axes, offset
):
    if not NORMS[kind].traits.plain:
        pytest.skip("it squashes, so that far from zero nothing is left to be compared")
    x, gradient = draw(layout, "x", mean=offset), draw(layout, "g")
    found = results(layer_for(kind, layout, axes), x, gradient)
    # A mean of 1000 in float32 is itself known to 3e-5. Batch norm's kernel for channels-last
    # images sums in another order, which loses some digits more.
    allowed = 2e-6 + abs(offset) * (3e-6 if kind.startswith("batch") else 1e-7)
    for value, wanted in zip(found[:2], exact(kind, layout, axes, x, gradient)[:2], strict=True):
        assert error(value, wanted) < allowed


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_group_far_from_zero_among_others_is_enough(dtype):
    x = draw("image-channels_last", "x")
    x[3, 4:8] = 500 + 20 * x[3, 4:8]
    x = x.to(dtype)
    gradient = draw("image-channels_last", "g").to(dtype)
    layer = make_norm("group", SLOTS["image"], NormPolicy(), groups=4)
    found = results(layer, x, gradient)
    wanted = results(layer.double(), x.double().contiguous(), gradient.double().contiguous())
    assert found[0].dtype is dtype
    for value, want in zip(found, wanted, strict=True):
        assert error(value, want) < (1e-5 if dtype is torch.float32 else 4e-3)


@pytest.mark.parametrize("kind", ["layer", "group", "instance"])
def test_images_near_zero_take_the_fast_kernel_alone(kind, monkeypatch):
    x, gradient = (draw("image-channels_last", name) for name in "xg")
    layer = layer_for(kind, "image", "chw")
    groups = {"layer": 1, "group": 8, "instance": 16}[kind]
    plain = x.clone().requires_grad_()
    y = F.group_norm(plain, groups, layer.weight, layer.bias, layer.eps)
    wanted = torch.autograd.grad(y, plain, gradient)[0]
    monkeypatch.setattr(F, "group_norm", None)
    found = results(layer, x, gradient)
    assert found[0].equal(y.detach())
    assert found[1].equal(wanted)


@pytest.mark.parametrize("mean", [0.0, 50.0])
@pytest.mark.parametrize("kind", ["layer", "group", "instance"])
def test_channels_last_images_can_be_differentiated_twice(kind, mean):
    layer = make_norm(kind, NormSlot.of(8, 2, 3), NormPolicy(eps=1e-3)).double()
    if kind == "group":
        layer.groups = 2
    x = torch.from_numpy(stream(0, "x").normal(mean, 1.0, (2, 8, 2, 3)))
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    assert torch.autograd.gradcheck(layer, (x,), fast_mode=True)
    assert torch.autograd.gradgradcheck(layer, (x,), fast_mode=True)


@pytest.mark.parametrize(
    ("slot", "batch_size", "allowed"),
    [
        (NormSlot.of(8), 1, False),
        (NormSlot.of(8), 2, True),
        (NormSlot.of(8, 1, 1), 1, False),
        (NormSlot.of(8, 1, 1), 2, True),
        (NormSlot.of(8, 2, 1), 1, True),
        (NormSlot.of(8, 14, 14), 1, True),
    ],
)
def test_batch_norm_of_one_example_is_refused_where_it_has_one_position(slot, batch_size, allowed):
    assert (make_method("batch").problem(slot, batch_size) is None) == allowed
    layer = make_norm("batch", slot, NormPolicy())
    shape = (batch_size, *slot.shape)
    if allowed:
        layer(torch.randn(shape))
    else:
        with pytest.raises(ValueError, match="more than 1 value"):
            layer(torch.randn(shape))


def test_a_cnn_whose_last_stage_has_positions_trains_with_batch_norm_on_single_images(digits):
    run = Run(run_config(*CNN, "data.batch_size=1"), digits)
    run.network.train()
    run.start_epoch()
    run.update()
    assert run.losses[0].isfinite()


class AutocastOfCuda(TorchFunctionMode):
    """Runs layer, group and RMS norm, reductions, powers and roots in float32 and returns that."""

    NORMS = ("layer_norm", "group_norm", "rms_norm", "native_group_norm")
    HIGH = frozenset((*NORMS, "rsqrt", "pow", "square", "sum", "mean", "norm"))

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if getattr(func, "__name__", "") in self.HIGH:
            args = tuple(a.float() if _half(a) else a for a in args)
        return func(*args, **(kwargs or {}))


def _half(value: object) -> bool:
    return isinstance(value, Tensor) and value.dtype is torch.bfloat16


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(("kind", "layout", "axes"), CASES)
def test_every_norm_returns_the_type_of_its_input_under_the_autocast_of_cuda(
    kind, layout, axes, device
):
    layer = layer_for(kind, layout, axes).to(device)
    x = draw(layout, "x").bfloat16().to(device)
    with AutocastOfCuda():
        assert layer(x).dtype is torch.bfloat16


def test_this_autocast_is_one_that_returns_float32():
    with AutocastOfCuda():
        assert F.layer_norm(torch.ones(2, 3).bfloat16(), (3,)).dtype is torch.float32
        assert torch.ones(2, 3).bfloat16().mean().dtype is torch.float32


class Careless(nn.Module):
    """A norm of somebody's own that hands on float32."""

    def forward(self, x: Tensor) -> Tensor:
        return x.float() / x.float().std(1, keepdim=True)


class CarelessNorm(NormMethod):
    """What puts it into a network."""

    def norm(self, slot: NormSlot) -> nn.Module:
        return Careless()


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_what_follows_a_norm_gets_the_type_that_went_in(placement):
    settings = ModelSettings(placement=placement)
    blueprint = Blueprint("mlp", MODELS["mlp"].Options(depth=2, width=6), settings)
    network = assemble(blueprint, CarelessNorm(NormPolicy(), None), (2, 2, 1), 3, seed=0)
    with torch.autocast("cpu", torch.bfloat16):
        hidden = network.module.blocks[0](torch.ones(4, 4))
    assert hidden.dtype is torch.bfloat16


@pytest.mark.parametrize("norm", ["batch", "layer", "rms"])
def test_a_run_in_bf16_hands_on_bf16_from_layer_to_layer(digits, norm):
    run = Run(run_config("training.precision=bf16", norm=norm), digits)
    run.start_epoch()
    seen: list[torch.dtype] = []
    for block in run.network.blocks:
        block.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    run.update()
    assert seen == [torch.bfloat16] * 3
