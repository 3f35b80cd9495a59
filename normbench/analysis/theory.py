"""What theory says of the gradient at initialization: its growth per layer toward the input.

Mean field theory of wide fully connected networks: weights are independent with variance
``weight_gain / width``, so a pre-activation is Gaussian given the layer before, and the gradient
that comes down through W^T is independent of the forward pass. Per layer the squared activation
gradient is then multiplied, toward the input, by weight_gain * E[phi'^2] over the mean square the
norm divides by:

    none          weight_gain * E[phi'(z)^2], z of the layer's own variance   Schoenholz et al.
                                                                    2017, arXiv:1611.01232
    batch         pre: E[phi'^2] / Var[phi]                         Yang et al. 2019,
                                                                    arXiv:1902.08129
    layer, group  pre: E[phi'^2] / E[phi^2]; post: E[phi'^2] / Var[phi]
    RMS           pre and post: E[phi'^2] / E[phi^2]

with z ~ N(0,1) before the activation in ``pre``, and z ~ N(0, weight_gain) in ``post``, where the
activation sees what the norm of the layer before and W have made (the result is then times
weight_gain). Layer norm differs between the placements because it re-centres the outputs of the
activation in ``post`` and the already centred pre-activations in ``pre``.

Finite batches and groups, ``pre``: the normalized values are uniform on a sphere, not Gaussian,
their scale has E[1/sigma^2] > 1/E[sigma^2], and the norm's gradient projects out two directions
(one without centring). All of that is integrated exactly here, in ``post`` by sampling; eps is
taken as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normbench.analysis.quadrature import gaussian, sphere
from normbench.analysis.signal import middle_layers
from normbench.analysis.spatial import (
    MANY,
    growth_of_channels,
    growth_without_norm,
    padding_factor,
)
from normbench.seeding import stream

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

LEAST = 5
"""Values behind a statistic from which on theory has a value: with fewer the variance of 1/sigma^2
is infinite, so that no measurement comes near its expectation."""

LARGE = 512
"""From so many on, ``post`` takes them as infinitely many, which adds less than 2.5 / size."""

_SAMPLES = 2**19  # values drawn where ``post`` is integrated by sampling
_PRECISION = 0.01  # relative standard error of that, above which there is no value


def growth(
    *,
    statistics: Literal["batch", "example", "none"],
    centered: bool,
    placement: Literal["pre", "post"],
    phi: Function,
    dphi: Function,
    weight_gain: float,
    bias_variance: float = 0.0,
    batch_size: int | None = None,
    group_size: int | None = None,
    channels: int | None = None,
    shapes: Sequence[tuple[int, ...]] = (),
    gains: ArrayLike | None = None,
    first_gain: float | None = None,
    depth: int | None = None,
    input_mean_square: ArrayLike | None = None,
    input_map: ArrayLike | None = None,
) -> float | None:
    """Growth per layer toward the input of norm(dL/dz_l)^2; None where theory has no value.

    statistics, centered: what the norm divides by and whether it subtracts a mean (as the methods
    declare); phi, dphi: the activation and its derivative on arrays, smooth but for a kink at 0;
    weight_gain: fan_in * var(W) of a hidden layer; batch_size, group_size: values behind one
    statistic of a batch norm (examples times positions), or of an example's norm (features of a
    group times positions); None is infinitely many; channels: how many are behind one statistic of
    an example. shapes: of one example at each layer, (F,) or (C, H, W), which says whether the
    layers are convolutions; gains: fan_in * var(W) of each.

    Convolutions follow the same law, with the channels and positions of ``analysis.spatial``.

    Without a norm the growth depends on the variance of each layer. With ``depth`` (hidden layers)
    and ``input_mean_square`` (of each example of the network's input) the variances are iterated
    from the input, the first layer having ``first_gain``, and the growth is fitted over the middle
    layers as the measurement is. Otherwise it is the value at the variance the map converges to.
    Convolutions need ``gains`` for this; ``input_map`` is the mean square at each position, [H, W].
    """
    spatial = bool(shapes) and len(shapes[0]) == 3
    law = (phi, dphi, weight_gain, bias_variance)
    if statistics == "none":
        if spatial:
            assert gains is not None
            growths = growth_without_norm(phi, dphi, gains, bias_variance, shapes, input_map)
            return None if growths is None else growths[0]
        gain = weight_gain if first_gain is None else first_gain
        if depth is None or input_mean_square is None:
            return _growth_at_fixed_point(*law)
        start = np.atleast_1d(np.asarray(input_mean_square, dtype=np.float64)) * gain
        return _growth_without_norm(*law, start + bias_variance, depth)
    size = batch_size if statistics == "batch" else group_size
    if size is not None and size < LEAST:
        return None
    # The positions of a channel are to instance norm what examples are to batch norm.
    alone = one_channel(shapes=shapes, group_size=group_size, channels=channels) and centered
    batch = statistics == "batch" or alone
    few = False
    if spatial and not batch and channels is not None and placement == "pre":
        few = centered and channels < MANY and (size is None or size > channels)
        size = channels  # deep down all positions of a channel are alike
    if few:
        value = growth_of_channels(*law, channels or 1)
    elif placement == "post":
        finite = size is not None and size < LARGE
        value = (
            _growth_post_finite(batch, centered, *law, size or 0)
            if finite
            else _growth_post(batch, centered, *law)
        )
    elif batch:
        value = _growth_pre_batch(phi, dphi, size)
    else:
        value = _growth_pre_example(centered, *law, size)
    if value is None or not spatial or gains is None:
        return value
    each = batch or few
    return value * padding_factor(
        phi,
        dphi,
        gains,
        shapes,
        centring="channel" if each else "example" if centered else "none",
        placement=placement,
    )


def one_channel(
    *, shapes: Sequence[tuple[int, ...]], group_size: int | None, channels: int | None
) -> bool:
    """Whether an example's statistics run over the positions of one channel alone."""
    spatial = bool(shapes) and len(shapes[0]) == 3
    return spatial and channels == 1 and (group_size is None or group_size > 1)


def energy_slope(phi: Function, dphi: Function) -> float:
    """How an example's excess norm carries over to the next layer under batch norm, ``pre``.

    The value for batch norm assumes that all examples of the batch have the same norm. A small
    excess of one example is multiplied per layer by this factor: above 1 (GELU 1.06, SiLU 1.10) a
    few examples take over the batch's variance and the measured growth is higher than the value
    (SiLU by 11 to 14 % at depth 30); at 1 (all homogeneous activations) the input's spread
    persists, which costs 1 to 2 %; below 1 (tanh, sigmoid, ELU) it fades. The stability of the
    symmetric fixed point, Yang et al. 2019, arXiv:1902.08129, to first order in 1 / batch size.
    """
    z, weight = gaussian()
    mean = weight @ phi(z)
    below = weight @ phi(z) ** 2 - mean**2
    return float((weight @ (phi(z) * dphi(z) * z) - mean * (weight @ (dphi(z) * z))) / below)


def _growth_at_fixed_point(phi: Function, dphi: Function, gain: float, bias: float) -> float:
    z, weight = gaussian()
    q = 1.0
    if np.array_equal(dphi(z), dphi(2 * z)):  # homogeneous: the same at every variance
        return gain * float(weight @ dphi(z) ** 2)
    for _ in range(10_000):
        new = gain * float(weight @ phi(np.sqrt(q) * z) ** 2) + bias
        # A map without a fixed point but 0 or infinity has a limit there, which the value at the
        # end of a representable range stands for.
        new = min(max(new, 1e-30), 1e30)
        if abs(new - q) <= 1e-14 * q:
            break
        q = new
    return gain * float(weight @ dphi(np.sqrt(q) * z) ** 2)


def _growth_without_norm(
    phi: Function, dphi: Function, gain: float, bias: float, q: Array, depth: int
) -> float | None:
    """q: [examples], the variance of the first layer's pre-activations."""
    z, weight = gaussian()
    steps = []  # [depth][examples]: ln of what a layer multiplies the squared gradient by
    for _ in range(depth):
        at = np.sqrt(q)[:, None] * z
        with np.errstate(divide="ignore"):
            steps.append(np.log(gain * (dphi(at) ** 2 @ weight)))
        q = gain * (phi(at) ** 2 @ weight) + bias
    return _fitted_over_examples(steps)


def _fitted_over_examples(steps: list[Array]) -> float | None:
    """Growth fitted to the sum over examples; steps [L][examples]: ln of a layer's factor.

    Toward the input from layer l + 1 to l the factor is that of layer l.
    """
    depth = len(steps)
    logs = np.cumsum(np.array(steps)[::-1], axis=0)[::-1]
    top = logs.max(axis=1, keepdims=True)
    total = top[:, 0] + np.log(np.exp(logs - top).mean(axis=1))
    part = total[middle_layers(depth)]
    if len(part) < 2 or not np.isfinite(part).all():
        return None
    return float(np.exp(-np.polyfit(np.arange(len(part)), part, 1)[0]))


def forward_without_norm(
    phi: Function,
    *,
    weight_gain: float,
    bias_variance: float,
    first_gain: float | None,
    depth: int | None,
    input_mean_square: ArrayLike | None,
) -> float:
    """Growth per layer toward the output of the mean square activation, fully connected.

    The arguments as for ``growth``; without an input, from one of mean square 1 over 100 layers.
    """
    z, weight = gaussian()
    start = np.atleast_1d(
        np.asarray(1.0 if input_mean_square is None else input_mean_square, dtype=np.float64)
    )
    q = start * (weight_gain if first_gain is None else first_gain)
    logs = []
    for _ in range(depth or 100):
        square = phi(np.sqrt(q)[:, None] * z) ** 2 @ weight
        with np.errstate(divide="ignore"):
            logs.append(np.log(square.mean()))
        q = weight_gain * square + bias_variance
    part = np.array(logs)[middle_layers(len(logs))]
    if len(part) < 2 or not np.isfinite(part).all():
        return np.nan
    return float(np.exp(np.polyfit(np.arange(len(part)), part, 1)[0]))


def chance_without_norm(
    phi: Function,
    dphi: Function,
    *,
    weight_gain: float,
    bias_variance: float,
    first_gain: float | None,
    depth: int,
    input_mean_square: ArrayLike,
    width: int,
) -> float:
    """ln of the growth with chance over that without it, of a fully connected chain without a norm.

    In a layer of n units an example's mean square varies by chance, by E[phi^4] / E[phi^2]^2 - 1
    over n. Where the map of mean squares carries a deviation on enlarged, a few examples come to
    hold most of the batch's gradient, and the growth is theirs. 0 for homogeneous activations. The
    arguments as for ``growth``; width: units of a layer.
    """
    at = np.array([0.5, 1.0, 2.0])
    if np.allclose(phi(2 * at), 2 * phi(at)) and np.allclose(phi(-2 * at), 2 * phi(-at)):
        return 0.0
    z, weight = gaussian()
    gain = weight_gain if first_gain is None else first_gain
    some = np.atleast_1d(np.asarray(input_mean_square, dtype=np.float64))
    start = gain * np.resize(some, max(len(some), 128)) + bias_variance
    logs = []
    for noise in (0.0, 1.0):
        q, steps = start, []
        rng = stream(0, "theory", "chance")
        for _ in range(depth):
            values, slopes = phi(np.sqrt(q)[:, None] * z) ** 2, dphi(np.sqrt(q)[:, None] * z) ** 2
            square, slope = values @ weight, slopes @ weight
            spreads = values**2 @ weight / square**2 - 1, 3 * (slopes**2 @ weight) / slope**2 - 1
            drawn = [
                noise * np.sqrt(v / width) * rng.standard_normal(len(q)) - noise * v / width / 2
                for v in spreads
            ]
            steps.append(np.log(weight_gain * slope) + drawn[1])
            q = weight_gain * square * np.exp(drawn[0]) + bias_variance
        logs.append(np.log(_fitted_over_examples(steps) or np.nan))
    return float(logs[1] - logs[0])


def _growth_post(
    batch: bool, centered: bool, phi: Function, dphi: Function, gain: float, bias: float
) -> float | None:
    z, weight = gaussian()
    if not batch:
        values = phi(np.sqrt(gain + bias) * z)
        below = weight @ values**2 - (weight @ values) ** 2 * centered
        return _ratio(gain * float(weight @ dphi(np.sqrt(gain + bias) * z) ** 2), float(below))
    # Each feature has its own bias, which shifts it for the whole batch.
    shift = np.sqrt(bias) * z if bias else np.zeros(1)
    share = weight if bias else np.ones(1)
    at = shift[:, None] + np.sqrt(gain) * z
    variance = phi(at) ** 2 @ weight - (phi(at) @ weight) ** 2
    if not (variance > 0).all():
        return None
    return gain * float(share @ (dphi(at) ** 2 @ weight / variance))


def _growth_post_finite(
    batch: bool, centered: bool, phi: Function, dphi: Function, gain: float, bias: float, size: int
) -> float | None:
    """The same for ``size`` values a statistic, by sampling them; None where that is too rough.

    The gradient that comes down is independent of them, so that its square is multiplied by the
    diagonal of D P D / sigma^2 with P = 1 - 11^T/n - a a^T/n. Batch norm makes pre-activations that
    are centred over the batch, and a gradient isotropic among such vectors.
    """
    groups = max(_SAMPLES // size, 1)
    z = stream(0, "theory").standard_normal((groups, size))
    if batch:
        z = (z - z.mean(1, keepdims=True)) * np.sqrt(gain * size / (size - 1))
        z += np.sqrt(bias) * stream(0, "theory", "bias").standard_normal((groups, 1))
    else:
        z *= np.sqrt(gain + bias)
    values, slope = phi(z), dphi(z)
    if centered:
        values = values - values.mean(1, keepdims=True)
    square = (values**2).mean(1)
    # A group in which nothing varies (dead units) passes no gradient: eps is all it has.
    safe = np.where(square > 0, square, np.inf)
    unit = values / np.sqrt(safe)[:, None]
    diagonal = (slope**2 * (1 - centered / size - unit**2 / size)).mean(1)
    if batch:
        pairs = slope.sum(1) ** 2 - (slope**2).sum(1)
        pairs += (slope * unit).sum(1) ** 2 - ((slope * unit) ** 2).sum(1)
        diagonal += pairs / size / (size * (size - 1))
    each = gain * diagonal / safe
    mean, error = float(each.mean()), float(each.std() / np.sqrt(groups))
    return mean if mean > 0 and error < _PRECISION * mean else None


def _growth_pre_example(
    centered: bool, phi: Function, dphi: Function, gain: float, bias: float, size: int | None
) -> float | None:
    """With G values in a group, n of them free: ẑ is uniform on a sphere in n dimensions."""
    if size is None:
        z, weight = gaussian()
        variance = gain * float(weight @ phi(z) ** 2) + bias
        return _ratio(gain * float(weight @ dphi(z) ** 2), variance)
    free = size - 1 if centered else size
    z, _, weight = sphere(free, size)
    square = dphi(z) ** 2
    # Trace of (1 - 11^T/G - ẑẑ^T/G) D^2 over G, and E[1/sigma^2] = G / (variance * (n - 2)).
    kept = weight @ square * (free / size) - weight @ (square * z**2) / size
    variance = gain * float(weight @ phi(z) ** 2) + bias
    return _ratio(gain * float(kept) * size / (free - 2), variance)


def _growth_pre_batch(phi: Function, dphi: Function, size: int | None) -> float | None:
    """The fixed point of examples that are as far apart as they can be, and its gradient.

    Theorem 8 of Yang et al. gives this for ReLU; the derivation for any phi: over the batch ẑ is
    uniform on the sphere of centred vectors; z is Gaussian with variance proportional to
    E[phi(z_1)^2] - E[phi(z_1) phi(z_2)] within the centred vectors; the gradient that comes down
    is centred and isotropic there, and D = diag(phi') and the norm's projection act on it.
    """
    if size is None:
        z, weight = gaussian()
        variance = weight @ phi(z) ** 2 - (weight @ phi(z)) ** 2
        return _ratio(float(weight @ dphi(z) ** 2), float(variance))
    b = size
    one, two, weight = sphere(b - 1, b)
    slope, slope_two = dphi(one), dphi(two)
    square, cross = weight @ slope**2, weight @ (slope * slope_two)
    square_z = weight @ (slope**2 * one**2)
    cross_z = weight @ (slope * one * slope_two * two)
    # Trace of (1 - 11^T/B - ẑẑ^T/B) D (1 - 11^T/B) D, by exchangeability of the examples.
    trace = (b - 2) * square + (square + (b - 1) * cross) / b
    trace -= square_z - (square_z + (b - 1) * cross_z) / b
    variance = weight @ (phi(one) ** 2 - phi(one) * phi(two))
    return _ratio(float(trace) * b / ((b - 3) * (b - 1)), float(variance))


def _ratio(above: float, below: float) -> float | None:
    return above / below if below > 0 and np.isfinite(above / below) else None
