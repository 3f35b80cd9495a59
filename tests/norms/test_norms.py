"""Every norm of the registry against an independent float64 formula, written here with NumPy."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from normbench.norms import NORMS, NormPolicy, Site, make_method, make_norm
from normbench.norms.kernels import plain_rms_norm, rms_norm
from normbench.seeding import stream

EPS = 1e-3  # large, so that a misplaced eps shows
FLAT, IMAGE = Site(6), Site(6, 3, 4)
SITES = {"flat": FLAT, "image": IMAGE}


def formula(kind: str, x: np.ndarray, axes: str, weight, bias, groups: int = 1) -> np.ndarray:
    """The norm of x, [N, F] or [N, C, H, W], in training mode, as the papers write it."""
    n, c, *positions = x.shape
    if kind == "none":
        return x
    spatial = tuple(range(2, x.ndim))
    if kind == "batch":
        over = (0, *spatial)
    elif kind == "instance" or (kind in ("layer", "rms") and axes == "c"):
        over = spatial if kind == "instance" else (1,)
    elif kind in ("layer", "rms"):
        over = (1, *spatial)
    elif kind == "group":
        split = x.reshape(n, groups, c // groups, *positions)
        over = tuple(range(2, split.ndim))
        centred = split - split.mean(over, keepdims=True)
        y = centred / np.sqrt((centred**2).mean(over, keepdims=True) + EPS)
        return affine(y.reshape(x.shape), weight, bias)
    else:
        pytest.fail(f"write the formula of {kind!r} here")
    centred = x if kind == "rms" else x - x.mean(over, keepdims=True)
    y = centred / np.sqrt((centred**2).mean(over, keepdims=True) + EPS)
    return affine(y, weight, bias)


def affine(y: np.ndarray, weight, bias) -> np.ndarray:
    shape = (1, -1) + (1,) * (y.ndim - 2)
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def options(kind: str) -> dict[str, int]:
    return {"groups": 2} if kind == "group" else {}


def every_case():
    for kind, where, axes, learn in itertools.product(NORMS, SITES, ("chw", "c"), (True, False)):
        method = make_method(kind, NormPolicy(eps=EPS), **options(kind))
        if method.problem(SITES[where], 5) is None:
            yield pytest.param(kind, where, axes, learn, id=f"{kind}-{where}-{axes}-affine={learn}")


CASES = list(every_case())


def make(kind: str, where: str, axes: str, learn: bool, **more) -> nn.Module:
    """The layer in float64 with an affine that is not the identity."""
    policy = NormPolicy(eps=EPS, affine=learn, axes=axes, **more)
    layer = make_norm(kind, SITES[where], policy, **options(kind)).double()
    rng = stream(0, "affine")
    with torch.no_grad():
        for p in layer.parameters():
            p.copy_(torch.from_numpy(rng.normal(1.0, 0.5, tuple(p.shape))))
    return layer


def draw(where: str, n: int = 5, name: str = "x") -> torch.Tensor:
    site = SITES[where]
    shape = (n, site.features) if where == "flat" else (n, site.features, site.height, site.width)
    return torch.from_numpy(stream(0, name).normal(0.7, 1.5, shape))


def numbers(parameter) -> np.ndarray | None:
    return None if parameter is None else parameter.detach().numpy()


def expected(kind: str, layer: nn.Module, x: np.ndarray, axes: str) -> np.ndarray:
    weight = numbers(getattr(layer, "weight", None))
    bias = numbers(getattr(layer, "bias", None))
    return formula(kind, x, axes, weight, bias, options(kind).get("groups", 1))


@pytest.mark.parametrize(("kind", "where", "axes", "learn"), CASES)
def test_forward_equals_the_formula(kind, where, axes, learn):
    layer, x = make(kind, where, axes, learn), draw(where)
    np.testing.assert_allclose(
        layer(x).detach().numpy(), expected(kind, layer, x.numpy(), axes), rtol=1e-10, atol=1e-12
    )


@pytest.mark.parametrize(("kind", "where", "axes", "learn"), CASES)
def test_evaluation_uses_running_statistics_or_what_training_does(kind, where, axes, learn):
    layer, x = make(kind, where, axes, learn, momentum=0.3), draw(where)
    if kind != "batch":
        trained = layer(x)
        assert torch.equal(layer.eval()(x), trained)
        return
    mean, var = np.zeros(6), np.ones(6)
    for step in range(3):
        seen = draw(where, name=f"x{step}")
        layer(seen)
        columns = np.moveaxis(seen.numpy(), 1, 0).reshape(6, -1)
        mean = 0.7 * mean + 0.3 * columns.mean(1)
        var = 0.7 * var + 0.3 * columns.var(1, ddof=1)
    np.testing.assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-10)
    np.testing.assert_allclose(layer.running_var.numpy(), var, rtol=1e-10)
    shape = (1, -1) + (1,) * (x.ndim - 2)
    y = (x.numpy() - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + EPS)
    want = affine(y, numbers(layer.weight), numbers(layer.bias))
    np.testing.assert_allclose(layer.eval()(x).detach().numpy(), want, rtol=1e-10)


@pytest.mark.parametrize(("kind", "where", "axes", "learn"), CASES)
def test_backward_equals_the_derivative_of_the_formula(kind, where, axes, learn):
    """Central differences of the NumPy formula along random directions."""
    layer, x = make(kind, where, axes, learn), draw(where, 3)
    g = draw(where, 3, "g")
    inputs = [x.requires_grad_(), *layer.parameters()]
    gradients = torch.autograd.grad(layer(x), inputs, g)
    for at, (value, gradient) in enumerate(zip(inputs, gradients, strict=True)):
        direction = torch.from_numpy(stream(at, "direction").standard_normal(tuple(value.shape)))
        losses = []
        for sign in (1, -1):
            with torch.no_grad():
                value += sign * 1e-5 * direction
                y = expected(kind, layer, x.detach().numpy(), axes)
                losses.append(float((y * g.numpy()).sum()))
                value -= sign * 1e-5 * direction
        want = (losses[0] - losses[1]) / 2e-5
        assert float((gradient * direction).sum()) == pytest.approx(want, rel=1e-6, abs=1e-7)


@pytest.mark.parametrize(("kind", "where", "axes", "learn"), CASES)
@pytest.mark.parametrize("training", [True, False])
def test_gradcheck_passes(kind, where, axes, learn, training):
    layer = make(kind, where, axes, learn).train(training)
    layer(draw(where))
    inputs = (draw(where, 3).requires_grad_(), *layer.parameters())
    names = [name for name, _ in layer.named_parameters()]

    def call(x: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        # Buffers as copies: gradcheck calls many times, and each would move the running ones.
        state = dict(zip(names, values, strict=True))
        state |= {name: b.clone() for name, b in layer.named_buffers()}
        return torch.func.functional_call(layer, state, (x,))

    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True)


# RMS norm, whose gradient is derived by hand.

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-6, torch.bfloat16: 1e-2}
RMS_CASES = [
    pytest.param((7, 33), (1,), False, id="features"),
    pytest.param((3, 5, 4, 6), (1, 2, 3), False, id="chw"),
    pytest.param((3, 5, 4, 6), (1, 2, 3), True, id="chw-channels_last"),
    pytest.param((3, 5, 4, 6), (1,), False, id="c"),
    pytest.param((3, 5, 4, 6), (1,), True, id="c-channels_last"),
]


def rms_inputs(shape, last: bool, dtype=torch.float64, learn: bool = True):
    rng = stream(0, "rms")
    values = [torch.from_numpy(rng.normal(0.5, 2.0, shape)).to(dtype) for _ in range(2)]
    if last:
        values = [v.to(memory_format=torch.channels_last) for v in values]
    weight = torch.from_numpy(rng.normal(1.0, 0.5, shape[1])).to(dtype) if learn else None
    return values[0].requires_grad_(), values[1], weight if not learn else weight.requires_grad_()


def reference(x, weight, dims):
    """torch.nn.RMSNorm, which normalizes trailing dimensions and has one gamma a value."""
    if x.ndim == 4 and len(dims) == 1:
        layer = nn.RMSNorm(x.shape[1], EPS, elementwise_affine=False).to(x.dtype)
        y = layer(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    else:
        y = nn.RMSNorm(x.shape[1:], EPS, elementwise_affine=False).to(x.dtype)(x)
    return y if weight is None else y * weight.view(-1, *[1] * (x.ndim - 2))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize(("shape", "dims", "last"), RMS_CASES)
def test_rms_equals_torch_rms_norm_within_rounding(shape, dims, last, learn, dtype):
    x, g, weight = rms_inputs(shape, last, dtype, learn)
    wanted = [v for v in (x, weight) if v is not None]
    y, ref = rms_norm(x, weight, EPS, dims), reference(x, weight, dims)
    assert y.dtype == dtype
    assert y.stride() == x.stride()
    torch.testing.assert_close(y, ref, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    mine = torch.autograd.grad(y, wanted, g)
    theirs = torch.autograd.grad(ref, wanted, g)
    for a, b in zip(mine, theirs, strict=True):
        scale = float(b.double().abs().max())
        assert a.dtype == dtype
        torch.testing.assert_close(a, b, rtol=0, atol=TOLERANCE[dtype] * 4 * scale)


@pytest.mark.parametrize("learn", [True, False])
@pytest.mark.parametrize(("shape", "dims", "last"), RMS_CASES)
def test_rms_can_be_differentiated_twice(shape, dims, last, learn):
    x, _, weight = rms_inputs(shape, last, learn=learn)

    def call(x, *weight):
        return rms_norm(x, weight[0] if weight else None, EPS, dims)

    inputs = [v for v in (x, weight) if v is not None]
    assert torch.autograd.gradcheck(call, inputs)
    assert torch.autograd.gradgradcheck(call, inputs)


@pytest.mark.parametrize(("shape", "dims", "last"), RMS_CASES)
def test_rms_takes_its_statistics_in_float32_for_bfloat16(shape, dims, last):
    x, _, weight = rms_inputs(shape, last, torch.bfloat16)
    high = plain_rms_norm(x.double(), weight.double(), EPS, dims)
    off = (rms_norm(x, weight, EPS, dims).double() - high).abs()
    assert bool((off <= high.abs() * 2**-8).all())  # half a unit in the last place, twice


def test_rms_under_autocast_keeps_float32_gradients_for_its_weight():
    layer = make_norm("rms", Site(16), NormPolicy())
    linear = nn.Linear(16, 16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(linear(torch.ones(4, 16)))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.weight.grad.dtype == torch.float32
    assert torch.isfinite(layer.weight.grad).all()


@pytest.mark.parametrize(("shape", "dims", "last"), RMS_CASES)
def test_rms_works_inside_torch_func(shape, dims, last):
    x, _, weight = rms_inputs(shape, last)
    x, weight = x.detach(), weight.detach()

    def loss(weight, x):
        return rms_norm(x.unsqueeze(0), weight, EPS, dims).sin().sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 0))(weight, x)
    hessian = torch.func.hessian(loss)(weight, x[0])
    leaf = weight.clone().requires_grad_()
    rms_norm(x, leaf, EPS, dims).sin().sum().backward()
    torch.testing.assert_close(each.sum(0), leaf.grad)
    torch.testing.assert_close(hessian, hessian.T)


def test_rms_takes_a_gradient_of_any_layout():
    x, _, weight = rms_inputs((3, 5, 4, 6), True)
    for dims in ((1,), (1, 2, 3)):
        expanded = torch.autograd.grad(rms_norm(x, weight, EPS, dims).sum(), x)[0]
        ones = torch.ones_like(x)
        wanted = torch.autograd.grad(plain_rms_norm(x, weight, EPS, dims), x, ones)[0]
        torch.testing.assert_close(expanded, wanted)


@pytest.mark.slow
def test_rms_compiles_without_a_break_and_agrees():
    layer = make_norm("rms", Site(32), NormPolicy())
    compiled = torch.compile(layer, fullgraph=True)
    x = torch.randn(8, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    torch.testing.assert_close(compiled(x), layer(x))
    for module in (layer, compiled):
        module(x).square().sum().backward()
        grad, x.grad = x.grad, None
        if module is layer:
            want = grad
    torch.testing.assert_close(grad, want)
