"""What a norm and an activation make of wide Gaussian pre-activations, as a method's law says it.

Over features z_i = sqrt(c) s + sqrt(q - c) e_i for example i, s and e_i ~ N(0, 1) independent: q is
an example's mean square, c the mean product of two examples, s what the batch shares. A linear
layer makes this of anything (``after_weights``). The maps here are for large batches and wide
layers, and for norms before the activation; those that divide by the standard deviation or the root
mean square of the batch or of an example are in ``analysis.theory``, with their finite sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normbench.analysis.activations import Pair, gate
from normbench.analysis.quadrature import gaussian, pairs_at
from normbench.seeding import stream

Array = NDArray[np.float64]

_SAMPLES = 2**17
_NODES = 601  # of e, where features differ by what the batch shares


@dataclass(frozen=True)
class Passed:
    """What comes out of a norm and an activation.

    square: mean square of an example; shared: mean product of two examples; mean: over features;
    slope: what the squared gradient that comes down is multiplied by.
    """

    square: float
    shared: float
    mean: float
    slope: float


def after_weights(
    passed: Passed, gain: float, *, centered: bool, bias: float = 0.0
) -> tuple[float, float]:
    """(q, c) behind a linear layer of gain fan_in * var(W).

    centered: each output's weights sum to zero, which takes the mean over features away.
    """
    taken = passed.mean**2 if centered else 0.0
    return gain * (passed.square - taken) + bias, gain * (passed.shared - taken) + bias


def through(
    q: float, c: float, act: Pair, law: dict[str, Any], batch: int | None, size: int | None
) -> Passed | None:
    """z of mean square q and shared part c through the norm, then ``act``; None where it is not.

    law: a ``norms.laws.Law`` as a mapping; batch: values behind a statistic of the batch; size:
    behind one of an example.
    """
    if law["raw"]:
        return _gated_before(q, c, act, law, size)
    then = act if law["gate"] is None else _behind(law["gate"], act)
    if law["mixture"] is not None:
        return _mixed(q, c, then, law["mixture"], batch)
    if law["statistics"] == "batch":
        if not law["centered"]:
            return by_feature(q, c, then)
        divisor = q - c
        return None if divisor <= 0 else gaussians(1.0, 0.0, then, 1 / divisor)
    if law["statistics"] == "example":
        return None if q <= 0 else gaussians(1.0, c / q, then, 1 / q)
    return gaussians(q, c, then, 1.0)


def _behind(given: Any, act: Pair) -> Pair:
    from normbench.analysis.activations import composed

    return composed(gate(*given), act)


def gaussians(q: float, c: float, act: Pair, factor: float) -> Passed:
    """Gaussian values of mean square q and shared part c through ``act``.

    factor: what the squared gradient is multiplied by before it gets there.
    """
    z, weight = gaussian()
    at = np.sqrt(q) * z
    values = act[0](at)
    return Passed(
        float(weight @ values**2),
        product(q, c, act),
        float(weight @ values),
        float(weight @ act[1](at) ** 2) * factor,
    )


def product(q: float, c: float, act: Pair) -> float:
    """E[act(u) act(v)] for u, v of mean square q and mean product c."""
    if q <= 0:
        return float(act[0](np.zeros(1))[0] ** 2)
    angle = np.arccos(np.clip(np.array([c / q]), -1, 1))
    one, two, weight = pairs_at(angle)
    root = np.sqrt(q)
    return float((act[0](root * one) * act[0](root * two) * weight).sum())


def _mixed(
    q: float, c: float, act: Pair, mixture: tuple[float, ...], batch: int | None
) -> Passed | None:
    of_batch, _, by_batch, by_example = mixture  # an example's mean over features is zero here
    left = (1 - of_batch) ** 2 * c
    divisor = by_batch * (q - c) + by_example * q if by_batch or by_example else 1.0
    if divisor <= 0:
        return None
    factor = 1 / divisor
    if by_batch == 1 and batch is not None and batch > 3:
        # E[1/sigma^2] of so many values, and the gradient through sigma, which a mean that is not
        # subtracted enlarges: (1 + mu^2 / sigma^2 - 2) / batch of what passes straight.
        factor *= batch / (batch - 3) * (1 + (left / (q - c) - 1) / batch)
    return gaussians((q - c + left) / divisor, left / divisor, act, factor)


def by_feature(q: float, c: float, act: Pair) -> Passed | None:
    """Each feature over its own root mean square in the batch, c s^2 + q - c."""
    if not 0 <= c < q:
        c = max(c, 0.0)
        if c >= q:
            return None
    # Even nodes: a kink lies elsewhere for every s.
    e = np.linspace(-8, 8, _NODES)
    weight = np.exp(-(e**2) / 2)
    weight /= weight.sum()
    s, share = gaussian()
    own = c * s**2 + q - c
    values = (np.sqrt(c) * s[:, None] + np.sqrt(q - c) * e) / np.sqrt(own)[:, None]
    out, slope = act[0](values), act[1](values) ** 2 @ weight
    mean = out @ weight
    return Passed(
        float(share @ (out**2 @ weight)),
        float(share @ mean**2),
        float(share @ mean),
        float(share @ (slope / own)),
    )


def _gated_before(
    q: float, c: float, act: Pair, law: dict[str, Any], size: int | None
) -> Passed | None:
    """gate(z) over the standard deviation of z in a group of ``size`` values, by sampling groups.

    The gradient that comes down is independent of z, so that its square is multiplied by the mean
    square of the Jacobian, gate' / sigma on its diagonal less gate(z_i) (z_j - mean) / (n sigma^3).
    """
    f, slope = gate(*law["gate"])
    if size is None or size < 6 or act[0](np.ones(1))[0] != 1 or q <= 0:
        return None
    z = np.sqrt(q) * stream(0, "theory", "groups").standard_normal((_SAMPLES // size, size))
    from_mean = z - z.mean(1, keepdims=True)
    var = (from_mean**2).mean(1)
    up, along = f(z), slope(z)
    square = (along**2).sum(1) / var - 2 * (along * up * from_mean).sum(1) / (size * var**2)
    square += (up**2).sum(1) / (size * var**2)
    inverse = float((1 / var).mean()) * q  # of a group, over that of infinitely many
    z1, weight = gaussian()
    mean = float(weight @ f(np.sqrt(q) * z1)) * float((1 / np.sqrt(var)).mean())
    shared = product(q, c, (f, slope)) / q * inverse
    return Passed(
        float((up**2).mean(1) @ (1 / var)) / len(var), shared, mean, float(square.mean()) / size
    )
