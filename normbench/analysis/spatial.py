"""Theory of convolutions, beyond what they share with fully connected layers.

Weights of a convolution are independent, so the covariance of a pre-activation between positions p
and p' is that of the layer below, summed over the same offsets of the kernel from both: in the
inside of an image two positions are to each other what two examples are (Xiao et al. 2018,
arXiv:1806.05393). Hence the law of fully connected layers with fan_in = k k C. What differs:

- zero padding takes energy away at the border. Without a norm it is followed here position by
  position. Norms divide the loss away again: what is left is a few percent, on small images, where
  a norm centres;
- statistics over the positions of one channel alone (instance norm) make of the positions what
  batch norm makes of the examples;
- statistics over the positions of a few channels (group norm) lie between that and layer norm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normbench.analysis.quadrature import gaussian
from normbench.analysis.signal import growth_of_rows
from normbench.seeding import stream

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

MANY = 128
"""Channels a statistic from which on the centring of each channel is neglected."""

KERNEL = 3

_SAMPLES = 2**15


def growth_without_norm(
    phi: Function,
    dphi: Function,
    gains: ArrayLike,
    bias: float,
    shapes: Sequence[tuple[int, ...]],
    input_map: ArrayLike | None,
) -> float | None:
    """Growth per layer of an un-normalized chain of zero-padded 3x3 convolutions.

    gains: [L], fan_in * var(W); shapes: [L] of (C, H, W); input_map: [H, W], mean square of the
    input at each position, by default 1. The variance of each layer is followed upward, then the
    squared gradient downward from average pooling over positions, and the growth is fitted as the
    measured one. In the inside of one stage the limit of what padding takes is
    ((1 + 2 cos(pi / (H + 1))) / 3)^2 a layer.
    """
    z, weight = gaussian()
    gain = np.asarray(gains, dtype=np.float64)
    _, height, width = shapes[0]
    below = np.ones((height, width)) if input_map is None else np.asarray(input_map, dtype=float)
    slopes: list[Array] = []
    for layer, (_, height, width) in enumerate(shapes):
        variance = gain[layer] * _box(below)[:: _stride(below, height), :: _stride(below, height)]
        variance += bias
        assert variance.shape == (height, width)
        at = np.sqrt(variance)[:, :, None] * z
        below, slope = phi(at) ** 2 @ weight, dphi(at) ** 2 @ weight
        slopes.append(slope)
    gradient, norms = slopes[-1], []
    for layer in range(len(shapes) - 1, -1, -1):
        channels, height, width = shapes[layer]
        if layer + 1 < len(shapes):
            spread = np.zeros((height, width))
            stride = _stride(spread, len(gradient))
            spread[::stride, ::stride] = gradient
            out = gain[layer + 1] * shapes[layer + 1][0] / channels
            gradient = slopes[layer] * out * _box(spread)
        norms.append(np.sqrt(channels * gradient.sum()))
    sizes = [int(np.prod(shape)) for shape in shapes]
    found = float(growth_of_rows(np.array(norms[::-1])[None], np.array(sizes)[None])[0])
    return found if np.isfinite(found) and found > 0 else None


def growth_of_channels(
    phi: Function, dphi: Function, gain: float, bias: float, channels: int
) -> float | None:
    """Growth before the activation of a centring norm over many positions of ``channels`` channels.

    What all positions of a channel share is centred only by the few channels of its group: the
    mean of the group's channels goes, their differences stay. The correlation between positions
    settles where the layers bring it; the group's variance varies with the channels that it has.
    """
    if not bias:
        gain = 1.0  # it cancels
    return _growth_of_channels(phi, dphi, gain, bias, channels)


@lru_cache(maxsize=64)
def _growth_of_channels(
    phi: Function, dphi: Function, gain: float, bias: float, channels: int
) -> float | None:
    shared = stream(0, "theory").standard_normal((_SAMPLES // channels, channels))
    shared -= shared.mean(1, keepdims=True)
    square = (shared**2).mean(1, keepdims=True)
    nodes, weight = np.polynomial.hermite_e.hermegauss(32)
    weight = weight / weight.sum()

    def passed(correlation: float) -> tuple[Array, Array]:
        """Normalized values at the nodes, and what the norm divides by, of pre-activations of
        variance 1 with this correlation between positions."""
        below = correlation * square + 1 - correlation
        mean = np.sqrt(correlation / below) * shared
        spread = np.sqrt((1 - correlation) / below)
        return mean[:, :, None] + spread[:, :, None] * nodes, below

    correlation = 0.5
    for _ in range(300):
        values = phi(passed(correlation)[0])
        variance = gain * float((values**2 @ weight).mean()) + bias
        new = min((gain * float(((values @ weight) ** 2).mean()) + bias) / variance, 1 - 1e-9)
        step, correlation = abs(new - correlation), new
        if step < 1e-5:
            break
    at, below = passed(correlation)
    values = phi(at)
    variance = gain * float((values**2 @ weight).mean()) + bias
    slope = gain * float((dphi(at) ** 2 @ weight / below).mean())
    return slope / variance if variance > 0 and np.isfinite(slope) else None


def _box(values: Array) -> Array:
    """The mean over the kernel around each position, zeros beyond the border. [H, W] -> [H, W]"""
    edge = KERNEL // 2
    height, width = values.shape
    padded = np.pad(values, edge)
    parts = [padded[i : i + height, j : j + width] for i in range(KERNEL) for j in range(KERNEL)]
    return np.sum(parts, axis=0) / KERNEL**2


def _stride(large: Array, height: int) -> int:
    """1 or 2: by which a map of this height was made from, or is spread to, a larger one."""
    return 1 if len(large) == height else 2
