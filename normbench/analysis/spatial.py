"""Theory of convolutions, beyond what they share with fully connected layers.

Weights of a convolution are independent, so the covariance of a pre-activation between positions p
and p' is that of the layer below, summed over the same offsets of the kernel from both: in the
inside of an image two positions are to each other what two examples are (Xiao et al. 2018,
arXiv:1806.05393). Hence the law of fully connected layers with fan_in = k k C. What differs:

- zero padding takes energy away at the border, which is followed position by position: without a
  norm here, with one in ``analysis.padding``. Norms divide most of the loss away again: a few
  percent are left on small images where a norm centres;
- statistics over the positions of one channel alone (instance norm) make of the positions what
  batch norm makes of the examples;
- statistics over the positions of a few channels (group norm) lie between that and layer norm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normbench.analysis.padding import box, padded_growth, spread
from normbench.analysis.quadrature import gaussian
from normbench.analysis.signal import growth_of_rows, middle_layers
from normbench.seeding import stream

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

MANY = 128
"""Channels a statistic from which on the centring of each channel is neglected."""

_SAMPLES = 2**14


def growth_without_norm(
    phi: Function,
    dphi: Function,
    gains: ArrayLike,
    bias: float,
    shapes: Sequence[tuple[int, ...]],
    input_map: ArrayLike | None,
    *,
    centered: bool = False,
) -> tuple[float, float] | None:
    """Growth per layer of an un-normalized chain of zero-padded 3x3 convolutions: of the squared
    gradient toward the input, and of the mean square activation toward the output.

    gains: [L], fan_in * var(W); shapes: [L] of (C, H, W); input_map: [H, W], mean square of the
    input at each position, by default 1; centered: the weights of each output sum to zero, over
    channels and kernel, which takes the mean over features away.

    The variance of each layer is followed upward, then the squared gradient downward from average
    pooling over positions, and the growth is fitted as the measured one. In the inside of one stage
    the limit of what padding takes is
    ((1 + 2 cos(pi / (H + 1))) / 3)^2 a layer.
    """
    z, weight = gaussian()
    gain = np.asarray(gains, dtype=np.float64)
    _, height, width = shapes[0]
    below = np.ones((height, width)) if input_map is None else np.asarray(input_map, dtype=float)
    mean = np.zeros_like(below)  # of the input it is not known
    slopes: list[Array] = []
    squares: list[float] = []
    for layer, (_, height, width) in enumerate(shapes):
        stride = 1 if len(below) == height else 2
        taken = box(mean) ** 2 * centered
        variance = gain[layer] * (box(below) - taken)[::stride, ::stride]
        variance += bias
        assert variance.shape == (height, width)
        at = np.sqrt(variance)[:, :, None] * z
        values = phi(at)
        below, mean, slope = values**2 @ weight, values @ weight, dphi(at) ** 2 @ weight
        slopes.append(slope)
        squares.append(float(below.mean()))
    gradient, norms = slopes[-1], []
    for layer in range(len(shapes) - 1, -1, -1):
        channels, height, width = shapes[layer]
        if layer + 1 < len(shapes):
            out = gain[layer + 1] * shapes[layer + 1][0] / channels
            gradient = slopes[layer] * out * box(spread(gradient, height, width))
        norms.append(np.sqrt(channels * gradient.sum()))
    sizes = np.array([[np.prod(shape) for shape in shapes]], dtype=float)
    backward = float(growth_of_rows(np.array(norms[::-1])[None], sizes)[0])
    forward = float(growth_of_rows(np.sqrt(squares)[None, ::-1], sizes[:, ::-1])[0])
    return (backward, forward) if np.isfinite(backward) and backward > 0 else None


def padding_factor(
    phi: Function,
    dphi: Function,
    gains: ArrayLike,
    shapes: Sequence[tuple[int, ...]],
    *,
    centring: Literal["channel", "example", "none"],
    placement: Literal["pre", "post"],
) -> float:
    """Growth of this chain over that of the law without a border, and with gains all alike.

    1 where the images are too large for it to matter. Gains count to 1 % of their median, so that
    networks that differ by their drawn weights alone are integrated once.
    """
    gain = np.asarray(gains, dtype=np.float64)
    middle = float(np.median(gain))
    ratios = np.round(gain / middle, 2)
    if middle_layers(len(ratios)).start > 0:
        ratios[0] = 1.0  # the first layer, whose inputs are few, is not among those fitted
    factor = _padding_factor(
        phi, dphi, round(middle, 2), tuple(ratios), tuple(shapes), centring, placement
    )
    return float(factor) if np.isfinite(factor) else 1.0


@lru_cache(maxsize=64)
def _padding_factor(
    phi: Function,
    dphi: Function,
    gain: float,
    ratios: tuple[float, ...],
    shapes: tuple[tuple[int, ...], ...],
    centring: Literal["channel", "example", "none"],
    placement: Literal["pre", "post"],
) -> float:
    z, weight = gaussian()
    one = np.sqrt(1.0 if placement == "pre" else gain)
    mean, square = float(weight @ phi(one * z)), float(weight @ phi(one * z) ** 2)
    taken = mean**2 if centring == "channel" or (centring, placement) == ("example", "post") else 0
    law = one**2 * float(weight @ dphi(one * z) ** 2) / (square - taken)
    gains = gain * np.array(ratios)
    padded, _ = padded_growth(phi, dphi, gains, shapes, centring=centring, placement=placement)
    return padded / law if law > 0 else np.nan


def growth_of_channels(
    phi: Function, dphi: Function, gain: float, bias: float, channels: int
) -> float | None:
    """Growth before the activation of a centring norm over many positions of ``channels`` channels.

    What all positions of a channel share is centred only by the few channels of its group: the
    mean of the group's channels goes, their differences stay. The correlation between positions
    settles where the layers bring it; the group's variance varies with the channels that it has.
    """
    # A gain cancels. Biases count to a percent of it, so that seeds are integrated once.
    return _growth_of_channels(phi, dphi, round(bias / gain, 2), channels)


@lru_cache(maxsize=64)
def _growth_of_channels(phi: Function, dphi: Function, bias: float, channels: int) -> float | None:
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
        variance = float((values**2 @ weight).mean()) + bias
        new = min((float(((values @ weight) ** 2).mean()) + bias) / variance, 1 - 1e-9)
        step, correlation = abs(new - correlation), new
        if step < 1e-5:
            break
    at, below = passed(correlation)
    values = phi(at)
    variance = float((values**2 @ weight).mean()) + bias
    slope = float((dphi(at) ** 2 @ weight / below).mean())
    return slope / variance if variance > 0 and np.isfinite(slope) else None
