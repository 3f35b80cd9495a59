"""Norm kernels where PyTorch's own do not serve.

PyTorch composes its RMS norm out of elementwise operations and differentiates each of them, which
in eager mode on a CPU takes several times as long as its fused layer norm. Here the gradient is
derived by hand, which leaves three passes over memory forward and six backward:

    r  = (mean(x^2) + eps)^(-1/2)
    y  = x * r * gamma
    dx = r * (g * gamma - x * r^2 * mean(g * gamma * x))
    dgamma = sum(g * x * r)

Statistics and sums are taken in float32 at least; the result has the dtype of ``x``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

# True inside torch.func.vmap, grad, jvp, ...: PyTorch has no public word for it. Where it is
# missing, the plain formula serves.
_inside_transform = getattr(torch._C, "_are_functorch_transforms_active", lambda: True)


def rms_norm(x: Tensor, weight: Tensor | None, eps: float, dims: tuple[int, ...]) -> Tensor:
    """x / sqrt(mean(x^2) + eps) * weight, the mean over ``dims``.

    x: [N, F] with dims (1,), or [N, C, H, W] with dims (1, 2, 3) or (1,); weight: [F] or [C], or
    None. On a CPU in eager mode through the hand-derived function above; elsewhere (compiled, on
    another device, inside torch.func) through the plain formula. Differentiable to any order.
    """
    if not x.is_cpu or torch.compiler.is_compiling() or _inside_transform():
        return plain_rms_norm(x, weight, eps, dims)
    return _RMSNorm.apply(x, weight, eps, dims)


def plain_rms_norm(x: Tensor, weight: Tensor | None, eps: float, dims: tuple[int, ...]) -> Tensor:
    """The same, as one writes it down: a compiler fuses it, any transform goes through it."""
    high = x.to(_statistics_dtype(x))
    y = high * torch.rsqrt(high.square().mean(dims, keepdim=True) + eps)
    return (y if weight is None else y * _per_channel(weight, x)).to(x.dtype)


def batch_norm(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    *,
    training: bool,
    momentum: float,
    eps: float,
) -> Tensor:
    """Over the batch and all positions of each channel; x: [N, F] or [N, C, H, W].

    PyTorch's kernel. The result has x's dtype.
    """
    high = _high_in_transform(x)
    return F.batch_norm(
        high,
        running_mean,
        running_var,
        weight,
        bias,
        training=training,
        momentum=momentum,
        eps=eps,
    ).to(x.dtype)


def layer_norm(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """Over the last axis of x [..., F]; weight, bias: [F]. The result has x's dtype.

    PyTorch's kernel. That for half precision on a CPU sums the gradients of weight and bias in
    half precision, which after a few thousand rows leaves neither; so there it is the one for
    float32. Autocast on CUDA returns float32, which is cast back.
    """
    high = x.to(_statistics_dtype(x)) if x.is_cpu else _high_in_transform(x)
    if high.dtype is not x.dtype:
        weight, bias = _to(weight, high.dtype), _to(bias, high.dtype)
    return F.layer_norm(high, (x.shape[-1],), weight, bias, eps).to(x.dtype)


def group_norm(
    x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Over each of ``groups`` equal groups of channels of one example; x: [N, F] or [N, C, H, W].

    PyTorch's kernel, but inside torch.func on a CPU, where that cannot go, the plain formula, and
    on channels-last images on a CPU ``_group_norm_channels_last``. The result has x's dtype.
    """
    if not (x.is_cpu and x.ndim > 2) or torch.compiler.is_compiling():
        return F.group_norm(_high_in_transform(x), groups, weight, bias, eps).to(x.dtype)
    if not _inside_transform():
        if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
            return F.group_norm(x, groups, weight, bias, eps).to(x.dtype)
        return _group_norm_channels_last(x, groups, weight, bias, eps)
    high = x.to(_statistics_dtype(x)).reshape(len(x), groups, -1)
    var, mean = torch.var_mean(high, 2, correction=0, keepdim=True)
    y = ((high - mean) * torch.rsqrt(var + eps)).reshape(x.shape)
    if weight is not None:
        y = y * _per_channel(weight, x)
    return (y if bias is None else y + _per_channel(bias, x)).to(x.dtype)


def _high_in_transform(x: Tensor) -> Tensor:
    """x; but inside torch.func, where PyTorch's norms keep what is normalized in x's dtype before
    the affine, or refuse a parameter of another dtype, in float32 at least."""
    if torch.compiler.is_compiling() or not _inside_transform():
        return x
    return x.to(_statistics_dtype(x))


LARGE_OFFSET = 4.0
"""Mean over standard deviation, R, above which E[x^2] - E[x]^2 is not good enough: it loses a share
of about 1e-7 R^2 of the variance in float32."""


def _group_norm_channels_last(
    x: Tensor, groups: int, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Tensor:
    """Group norm of a channels-last x [N, C, H, W] on a CPU.

    PyTorch's kernel for this layout takes the variance as E[x^2] - E[x]^2, which is a tenth to
    thousands off where the mean is 1000 standard deviations. Where its own statistics tell that
    the mean is large, the same kernel gets x less that mean: what is normalized does not change by
    it, and neither does the gradient.
    """
    n, c, height, width = x.shape
    y, mean, inverse_std = torch.native_group_norm(
        x, weight, bias, n, c, height * width, groups, eps
    )
    offset = mean.detach()  # [N, groups]
    if bool((offset * inverse_std.detach()).abs().amax() <= LARGE_OFFSET):
        return y.to(x.dtype)
    offset = offset.to(_statistics_dtype(x)).repeat_interleave(c // groups, 1).view(n, c, 1, 1)
    weight, bias = _to(weight, offset.dtype), _to(bias, offset.dtype)
    return F.group_norm(x - offset, groups, weight, bias, eps).to(x.dtype)


def _to(parameter: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if parameter is None else parameter.to(dtype)


class _RMSNorm(Function):
    # The older style without setup_context: the newer one adds 40 us a call, as much as all the
    # arithmetic at 128x256. There every Python call counts, hence the tests before each ``to``.

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor | None, eps: float, dims: tuple[int, ...]
    ) -> Tensor:
        r = _inverse_rms(x, eps, dims)
        y = x * r
        if weight is not None:
            y.mul_(weight if x.ndim == 2 else weight.view(-1, 1, 1))
        ctx.save_for_backward(x, weight, r)
        ctx.eps, ctx.dims = eps, dims
        return y if y.dtype is x.dtype else y.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, Tensor | None, None, None]:
        x, weight, r = ctx.saved_tensors
        if torch.is_grad_enabled():  # someone will differentiate the gradient
            dx, dweight = _differentiable_gradient(g, x, weight, ctx.eps, ctx.dims)
            return dx, dweight, None, None
        if x.dtype is r.dtype:
            dx, dweight = _gradient(g, x, weight, r, ctx.dims)
        else:
            dx, dweight = _gradient(g.to(r.dtype), x.to(r.dtype), weight, r, ctx.dims)
            dx = dx.to(x.dtype)
        if dweight is not None and dweight.dtype is not weight.dtype:
            dweight = dweight.to(weight.dtype)
        return dx, dweight, None, None


def _gradient(
    g: Tensor, x: Tensor, weight: Tensor | None, r: Tensor, dims: tuple[int, ...]
) -> tuple[Tensor, Tensor | None]:
    """(dx, dweight) in the dtype of ``r``, with one buffer of the size of ``x``."""
    gx = g * x
    dweight = None
    if weight is None:
        dot = gx.sum(dims, keepdim=True)
        dx = gx.copy_(g)
    else:
        if weight.dtype is not r.dtype:
            weight = weight.to(r.dtype)
        dot, dweight = _reduce(gx, weight, r, dims)
        dx = torch.mul(g, weight if x.ndim == 2 else weight.view(-1, 1, 1), out=gx)
    coefficient = dot.mul_(r).mul_(r)
    return dx.addcmul_(x, coefficient, value=-r.numel() / x.numel()).mul_(r), dweight


def _reduce(gx: Tensor, weight: Tensor, r: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """(sum of gx * weight over ``dims``, kept; sum of gx * r over everything but channels)."""
    if gx.ndim == 2:
        return torch.mv(gx, weight).view(-1, 1), torch.mv(gx.t(), r.view(-1))
    if len(dims) == 3:
        by_channel = gx.sum((2, 3))
        return (
            torch.mv(by_channel, weight).view(-1, 1, 1, 1),
            torch.mv(by_channel.t(), r.view(-1)),
        )
    dot = (gx * _per_channel(weight, gx)).sum(1, keepdim=True)
    return dot, gx.mul_(r).sum((0, 2, 3))


def _differentiable_gradient(
    g: Tensor, x: Tensor, weight: Tensor | None, eps: float, dims: tuple[int, ...]
) -> tuple[Tensor, Tensor | None]:
    """(dx, dweight) as functions of g, x and weight that autograd can differentiate again."""
    high, g = x.to(_statistics_dtype(x)), g.to(_statistics_dtype(x))
    r = torch.rsqrt(high.square().mean(dims, keepdim=True) + eps)
    scaled = g if weight is None else g * _per_channel(weight, x)
    dx = r * (scaled - high * (r.square() * (scaled * high).mean(dims, keepdim=True)))
    if weight is None:
        return dx.to(x.dtype), None
    others = (0,) if x.ndim == 2 else (0, 2, 3)
    return dx.to(x.dtype), (g * high * r).sum(others).to(weight.dtype)


def _inverse_rms(x: Tensor, eps: float, dims: tuple[int, ...]) -> Tensor:
    """(mean(x^2) + eps)^(-1/2) over ``dims``, kept, in float32 at least."""
    dtype = _statistics_dtype(x)
    if len(dims) < x.ndim - 1 and x.stride(1) != 1:
        # vector_norm is 20 times slower than this along a dimension that is not the innermost.
        total = x.to(dtype).square().sum(dims, keepdim=True)
        share = total.numel() / x.numel()
        return torch.add(_constant(eps, dtype), total, alpha=share).rsqrt_()
    if x.dtype is dtype:
        norm = torch.linalg.vector_norm(x, dim=dims, keepdim=True)
    else:
        norm = torch.linalg.vector_norm(x, dim=dims, keepdim=True, dtype=dtype)
    share = norm.numel() / x.numel()
    return torch.addcmul(_constant(eps, dtype), norm, norm, value=share).rsqrt_()


@lru_cache(maxsize=64)
def _constant(value: float, dtype: torch.dtype) -> Tensor:
    return torch.tensor(value, dtype=dtype, device="cpu")


def _statistics_dtype(x: Tensor) -> torch.dtype:
    return torch.float64 if x.dtype is torch.float64 else torch.float32


def _per_channel(weight: Tensor, x: Tensor) -> Tensor:
    """[C] in the shape that multiplies [N, F] or [N, C, H, W]."""
    return weight if x.ndim == 2 else weight.view(-1, 1, 1)
