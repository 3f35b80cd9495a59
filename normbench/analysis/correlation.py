"""How alike examples become, layer by layer: the correlation map of mean field theory.

In wide layers the pre-activations of two examples are jointly Gaussian, and their correlation c
passes through a layer as E[phi(u) phi(v)] / E[phi(u)^2], u and v of correlation c: Poole et al.
2016, arXiv:1606.05340. For ReLU it is the arc-cosine kernel (Cho & Saul 2009), whose only fixed
point is 1: all examples become alike, like 1 / depth^2, with layer and RMS norm and without any.
Batch norm centres over the examples, which takes away what they share: its fixed point is that of
examples as far apart as they can be, of correlation -1 / (batch - 1) (Yang et al. 2019,
arXiv:1902.08129; Daneshmand et al. 2020, arXiv:2003.01652). How fast it is reached depends on the
input, and is not given here.

What is given is the mean cosine between the outputs of the activation function, as
``probes.likeness`` measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normbench.analysis.quadrature import gaussian, pairs, sphere

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

FEW = 32

ANGLES = 65
"""At so many angles between examples a map is integrated; between them it is interpolated."""


def mean_cosines(
    *,
    statistics: Literal["batch", "example", "none"],
    centered: bool,
    placement: Literal["pre", "post"],
    phi: Function,
    gains: Sequence[float],
    bias_variance: float,
    input_products: ArrayLike,
    batch_size: int | None = None,
    group_size: int | None = None,
) -> Array:
    """Mean cosine between two examples' activation outputs at each hidden layer. [L]

    gains: [L], fan_in * var(W); input_products: [N, N], mean over the inputs of the product of two
    examples; the rest as for ``theory.growth``. For batch norm the value that deep layers settle
    at stands at the last layer alone, NaN at the others. Without a norm all examples are taken to
    have the batch's mean square from the first layer's output on, which matters where phi is not
    homogeneous. A norm that centres few values of an example takes away a part of what examples
    share, which is left out: NaN below ``FEW`` of them.
    """
    depth = len(gains)
    if statistics == "example" and group_size is not None and group_size < FEW:
        return np.full(depth, np.nan)
    if statistics == "batch":
        settled = np.full(depth, np.nan)
        settled[-1] = _settled(phi, placement, gains[-1], batch_size)
        return settled
    products = np.asarray(input_products, dtype=float)
    squares = np.diag(products)
    of = np.triu_indices(len(products), 1)
    share = np.sqrt(squares[of[0]] * squares[of[1]])
    # Biases are drawn with the same variance in each layer but, at the start, for the first.
    above = gains[0] * products[of] + bias_variance
    with np.errstate(invalid="ignore", divide="ignore"):
        angle = above / (gains[0] * share + bias_variance)
    correlation = np.clip(angle, -1, 1)
    variance = gains[0] * float(squares.mean()) + bias_variance
    cosine = []
    for layer in range(depth):
        scale = 1.0 if statistics != "none" and placement == "pre" else variance
        cosines, product, mean = _map(phi, scale)
        passed = np.interp(np.arccos(correlation), np.arccos(cosines), product)
        square = float(product[0])  # at an angle of 0
        cosine.append(float(np.mean(passed)) / square if square > 0 else np.nan)
        if layer + 1 == depth:
            break
        if statistics != "none" and placement == "post":
            taken = mean**2 * centered
            passed, square = (passed - taken) / (square - taken), 1.0
        gain = gains[layer + 1]
        variance = gain * square + bias_variance
        correlation = np.clip((gain * passed + bias_variance) / variance, -1, 1)
    return np.array(cosine)


def _settled(phi: Function, placement: str, gain: float, size: int | None) -> float:
    """The cosine of examples as far apart as they can be, after batch norm and phi."""
    scale = 1.0 if placement == "pre" else np.sqrt(gain)
    if size is None or size > 10_000:
        z, weight = gaussian()
        values = phi(scale * z)
        return float((weight @ values) ** 2 / (weight @ values**2))
    if size < 5:
        return np.nan
    one, two, weight = sphere(size - 1, size)
    first, second = phi(scale * one), phi(scale * two)
    return float(weight @ (first * second) / (weight @ first**2))


def unit_map(phi: Function) -> tuple[Array, Array]:
    """Angles between examples, ascending, and E[phi(u) phi(v)] / E[phi^2] at unit variance."""
    cosines, product, _ = _map(phi, 1.0)
    square = product[0] if product[0] > 0 else np.nan
    return np.arccos(cosines), product / square


@lru_cache(maxsize=256)
def _map(phi: Function, variance: float) -> tuple[Array, Array, float]:
    """E[phi(u) phi(v)] at correlations of u, v ~ N(0, variance): (correlations, values, E[phi])."""
    cosines, one, two, weight = pairs(ANGLES)
    scale = np.sqrt(variance)
    product = (phi(scale * one) * phi(scale * two) * weight).sum(1)
    z, single = gaussian()
    return cosines, product, float(single @ phi(scale * z))
