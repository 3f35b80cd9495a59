"""Plain fully connected networks layer by layer, for norms that no closed law of a layer covers.

The mean square and the shared part of the pre-activations (``analysis.maps``) are followed from the
input, and the squared gradient back down; growth is fitted as the measured one is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normbench.analysis.activations import Pair
from normbench.analysis.maps import Passed, after_weights, through
from normbench.analysis.quadrature import gaussian
from normbench.analysis.signal import middle_layers

Array = NDArray[np.float64]

_DRAWS = 512


def growths(
    law: dict[str, Any],
    act: Pair,
    gains: Sequence[float],
    *,
    centered_weights: bool,
    bias_variance: float,
    input_products: ArrayLike | None,
    batch_size: int | None,
    group_size: int | None,
) -> tuple[float, float] | None:
    """(growth of the squared gradient toward the input, growth of the mean square activation
    toward the output) a layer; None where the map has no value at some layer.

    gains: [L]; input_products: [N, N] as ``training.theory_inputs`` has it, by default of examples
    of mean square 1 that share nothing.
    """
    products = np.eye(2) if input_products is None else np.asarray(input_products, dtype=float)
    square = float(np.diag(products).mean())
    apart = ~np.eye(len(products), dtype=bool)
    shared = float(products[apart].mean()) if apart.any() else 0.0
    passed = Passed(square, shared, 0.0, 1.0)
    out, slopes = [], []
    for layer, gain in enumerate(gains):
        first = layer == 0
        q, c = after_weights(
            passed, gain, centered=centered_weights and not first, bias=bias_variance * (not first)
        )
        ratios = through(q, max(c, 0.0), act, law, batch_size, group_size)
        if ratios is None or not np.isfinite([ratios.square, ratios.slope]).all():
            return None
        passed = ratios
        out.append(passed.square)
        slopes.append(passed.slope)
    with np.errstate(divide="ignore"):
        # From layer l + 1 down to l: W of the one, then norm and activation of the other.
        steps = np.log(np.array(gains[1:])) + np.log(slopes[:-1])
        gradient = np.append(np.cumsum(steps[::-1])[::-1], 0.0)
        return fitted(-gradient), fitted(np.log(out))


def fitted(logs: Array) -> float:
    """Factor a layer toward the output of what these are logarithms of, as growth is fitted."""
    part = logs[middle_layers(len(logs))]
    if len(part) < 2 or not np.isfinite(part).all():
        return np.nan
    return float(np.exp(np.polyfit(np.arange(len(part)), part, 1)[0]))


def partial_growth(act: Pair, count: int, features: int) -> float | None:
    """Growth before the activation where ``count`` features stand for the mean square of all.

    With p features the divisor is that of all times chi^2_p / p =: 1 / R, drawn anew in each layer.
    Divisors of neighbouring layers go together, since one layer's output is the next one's scale,
    so that the growth is E[R E[phi'(y)^2] / E[phi(y)^2]], y ~ N(0, R): 1 for ReLU. The gradient
    through the divisor comes back into the p features alone, (g . y)^2 / p. It is none where phi is
    homogeneous: then the loss does not feel the scale of y, which the next norm divides out.
    """
    if count < 5:
        return None
    from scipy.special import gammaincinv  # slow to import

    # chi^2_p / p at the middles of equally likely intervals.
    ratio = count / (2 * gammaincinv(count / 2, (np.arange(_DRAWS) + 0.5) / _DRAWS))
    z, normal = gaussian()
    at = np.sqrt(ratio)[:, None] * z
    values, slopes = act[0](at), act[1](at)
    above, below = slopes**2 @ normal, values**2 @ normal
    # Of what a change of scale does to phi(y), the part that is no change of its scale.
    felt = (slopes * at) ** 2 @ normal - ((slopes * at * values) @ normal) ** 2 / below
    through = felt / above * (1 / count - 2 / (features * ratio))
    return float((ratio * (1 + through) * above / below).mean())
