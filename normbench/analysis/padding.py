"""What zero padding does to the growth of a normalized chain of 3x3 convolutions.

Followed position by position, for large batches and many channels: v(p) is the variance of a
pre-activation at a position over channels and examples, C(p, p') what two different examples share
there, which only matters where each channel is centred. Pre-activations near the border sum over
fewer inputs, which changes both. In the inside of a large image nothing of it is left, so the
result is given as a factor on the law without padding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normbench.analysis.correlation import unit_map
from normbench.analysis.quadrature import gaussian
from normbench.analysis.signal import growth_of_rows

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

KERNEL = 3

MOST = 4096
"""Positions of an image beyond which its border is neglected, and the memory is not spent."""


def padded_growth(
    phi: Function,
    dphi: Function,
    gains: ArrayLike,
    shapes: Sequence[tuple[int, ...]],
    *,
    centring: Literal["channel", "example", "none"],
    placement: Literal["pre", "post"],
    divides: bool = True,
) -> tuple[float, float]:
    """Growth per layer, fitted within stages as the measured one: of the squared gradient toward
    the input, and of the mean square activation toward the output. NaN beyond ``MOST`` positions.

    gains: [L], fan_in * var(W), which the norm divides by and the backward pass multiplies with;
    shapes: [L] of (C, H, W); centring: what mean the norm takes away, each channel's over positions
    and examples (batch, instance), an example's over all channels (layer, group), or none.
    divides: whether it divides by the variance as well.
    """
    gain = np.asarray(gains, dtype=np.float64)
    if max(shape[1] * shape[2] for shape in shapes) > MOST:
        return np.nan, np.nan
    z, weight = gaussian()
    mean_of, square_of, slope_of = (
        lambda v, f=f: f(np.sqrt(v)[..., None] * z) @ weight
        for f in (phi, lambda at: phi(at) ** 2, lambda at: dphi(at) ** 2)
    )
    _, height, width = shapes[0]
    # An input of white noise: examples share nothing, and every position varies as much.
    v = np.ones((height, width))
    c = np.zeros((height, width) * 2) if centring == "channel" else None
    local: list[Array] = []  # what a layer multiplies the squared gradient by, at each position
    squares = []
    for layer, (_, height, _) in enumerate(shapes):
        stride = 1 if len(v) == height else 2
        v = gain[layer] * box(v)[::stride, ::stride]
        if c is not None:
            c = gain[layer] * _box_pairs(c)[::stride, ::stride, ::stride, ::stride]
        if placement == "pre":
            own = centring if centring == "channel" else "none"
            v, c, divisor = _normalized(v, c, 0 * v, own, divides)
        before, mean = v, mean_of(v)
        v = square_of(before)
        c = None if c is None else _passed(phi, before, c, v)
        if placement == "post":
            v, c, divisor = _normalized(v, c, mean, centring, divides)
        local.append(slope_of(before) / divisor)
        squares.append(float(v.mean()))
    gradient, norms = local[-1], []
    for layer in range(len(shapes) - 1, -1, -1):
        channels, height, width = shapes[layer]
        if layer + 1 < len(shapes):
            out = gain[layer + 1] * shapes[layer + 1][0] / channels
            gradient = local[layer] * out * box(spread(gradient, height, width))
        norms.append(np.sqrt(channels * gradient.sum()))
    sizes = np.array([[np.prod(shape) for shape in shapes]], dtype=float)
    forward = growth_of_rows(np.sqrt(squares)[None, ::-1], sizes[:, ::-1])[0]
    return float(growth_of_rows(np.array(norms[::-1])[None], sizes)[0]), float(forward)


def _normalized(
    v: Array, c: Array | None, mean: Array, centring: str, divides: bool
) -> tuple[Array, Array | None, float]:
    """v [H, W] and c [H, W, H, W] less the mean and over the divisor, and the divisor."""
    if c is not None:
        row = c.mean((2, 3))
        all_ = float(row.mean())
        v, c = v - 2 * row + all_, c - row[:, :, None, None] - row + all_
    elif centring == "example":
        whole = float(mean.mean())
        v = v - 2 * whole * mean + whole**2
    divisor = float(v.mean()) if divides else 1.0
    return v / divisor, None if c is None else c / divisor, divisor


def _passed(phi: Function, v: Array, c: Array, square: Array) -> Array:
    """E[phi phi] of two examples, whose positions have the variances v and the covariances c.

    The map of unit variance, scaled by the roots of the mean squares: exact where phi is
    homogeneous, and else as near as v is to 1.
    """
    root = np.sqrt(v)
    correlation = np.clip(c / (root[:, :, None, None] * root), -1, 1)
    angles, share = unit_map(phi)
    scale = np.sqrt(square)
    return np.interp(np.arccos(correlation), angles, share) * scale[:, :, None, None] * scale


def box(values: Array) -> Array:
    """The mean over the kernel around each position, zeros beyond the border. [H, W] -> [H, W]"""
    height, width = values.shape
    padded = np.pad(values, KERNEL // 2)
    parts = [padded[i : i + height, j : j + width] for i in range(KERNEL) for j in range(KERNEL)]
    return np.sum(parts, axis=0) / KERNEL**2


def _box_pairs(values: Array) -> Array:
    """The same for covariances, both positions shifted alike. [H, W, H, W]"""
    height, width = values.shape[:2]
    padded = np.pad(values, KERNEL // 2)
    total = np.zeros_like(values)
    for i in range(KERNEL):
        for j in range(KERNEL):
            rows, columns = slice(i, i + height), slice(j, j + width)
            total += padded[rows, columns, rows, columns]
    return total / KERNEL**2


def spread(gradient: Array, height: int, width: int) -> Array:
    """What comes down from a layer of stride 1 or 2 to an image of this size."""
    stride = 1 if len(gradient) == height else 2
    image = np.zeros((height, width))
    image[::stride, ::stride] = gradient
    return image
