"""RMS norm's kernel, whose gradient is derived by hand, against PyTorch's and the plain formula."""

import pytest
import torch
from torch import nn

from normbench.norms import NormSlot, make_norm
from normbench.norms.kernels import plain_rms_norm, rms_norm
from normbench.seeding import stream

EPS = 1e-3  # large, so that a misplaced eps shows

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
    assert torch.autograd.gradcheck(call, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(call, inputs, fast_mode=True)


@pytest.mark.parametrize(("shape", "dims", "last"), RMS_CASES)
def test_rms_takes_its_statistics_in_float32_for_bfloat16(shape, dims, last):
    x, _, weight = rms_inputs(shape, last, torch.bfloat16)
    high = plain_rms_norm(x.double(), weight.double(), EPS, dims)
    off = (rms_norm(x, weight, EPS, dims).double() - high).abs()
    assert bool((off <= high.abs() * 2**-8).all())  # half a unit in the last place, twice


def test_rms_under_autocast_keeps_float32_gradients_for_its_weight():
    layer = make_norm("rms", NormSlot.of(16))
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
    layer = make_norm("rms", NormSlot.of(32))
    compiled = torch.compile(layer, fullgraph=True)
    x = torch.randn(8, 32, generator=torch.Generator().manual_seed(0), requires_grad=True)
    torch.testing.assert_close(compiled(x), layer(x))
    for module in (layer, compiled):
        module(x).square().sum().backward()
        grad, x.grad = x.grad, None
        if module is layer:
            want = grad
    torch.testing.assert_close(grad, want)
