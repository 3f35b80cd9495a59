"""The activation functions that theory knows, with their derivatives, on float64 arrays.

The same functions as ``models.activations`` builds, without torch: what answers from results must
not wait for it. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Function = Callable[[Array], Array]
Pair = tuple[Function, Function]

# Klambauer et al. 2017, arXiv:1706.02515: the scale and alpha that keep mean 0 and variance 1.
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _leaky(z: Array, slope: float) -> Array:
    return np.where(z > 0, z, slope * z)


def _leaky_slope(z: Array, slope: float) -> Array:
    return np.where(z > 0, 1.0, slope)


def _elu(z: Array, scale: float, alpha: float) -> Array:
    return scale * np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def _elu_slope(z: Array, scale: float, alpha: float) -> Array:
    return scale * np.where(z > 0, 1.0, alpha * np.exp(np.minimum(z, 0)))


def _normal(z: Array) -> Array:
    """The standard normal distribution function."""
    from scipy.special import ndtr  # not needed by most, and slow to import

    below: Array = ndtr(z)
    return below


def _gelu(z: Array) -> Array:
    return z * _normal(z)


def _gelu_slope(z: Array) -> Array:
    return _normal(z) + z * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)


def _sigmoid(z: Array) -> Array:
    # By the sign, so that no exponential overflows.
    small = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, small) / (1 + small)


def _sigmoid_slope(z: Array) -> Array:
    return _sigmoid(z) * _sigmoid(-z)


def _silu(z: Array) -> Array:
    return z * _sigmoid(z)


def _silu_slope(z: Array) -> Array:
    return _sigmoid(z) * (1 + z * _sigmoid(-z))


def _tanh_slope(z: Array) -> Array:
    return 1 - np.tanh(z) ** 2


def _erf(z: Array) -> Array:
    from scipy.special import erf

    value: Array = erf(z)
    return value


def _erf_slope(z: Array) -> Array:
    return 2 / np.sqrt(np.pi) * np.exp(-(z**2))


def _isru(z: Array) -> Array:
    return z / np.sqrt(1 + z**2)


def _isru_slope(z: Array) -> Array:
    return (1 + z**2) ** -1.5


def _pair(phi: Callable[..., Array], dphi: Callable[..., Array], **given: float) -> Pair:
    return partial(phi, **given), partial(dphi, **given)


_KNOWN: dict[str, Pair] = {
    "relu": _pair(_leaky, _leaky_slope, slope=0.0),
    "leaky_relu": _pair(_leaky, _leaky_slope, slope=0.01),
    "identity": _pair(_leaky, _leaky_slope, slope=1.0),
    "elu": _pair(_elu, _elu_slope, scale=1.0, alpha=1.0),
    "selu": _pair(_elu, _elu_slope, scale=_SELU_SCALE, alpha=_SELU_ALPHA),
    "gelu": (_gelu, _gelu_slope),
    "silu": (_silu, _silu_slope),
    "tanh": (np.tanh, _tanh_slope),
    "sigmoid": (_sigmoid, _sigmoid_slope),
}

# Those that layers in a norm's place apply to each number: ``norms.laws.Gate``.
_GATES: dict[str, Pair] = {
    "tanh": _KNOWN["tanh"],
    "silu": _KNOWN["silu"],
    "erf": (_erf, _erf_slope),
    "isru": (_isru, _isru_slope),
}


def functions(activation: str) -> Pair | None:
    """phi and its derivative (at a kink the one from below); None for a name not known here.

    The same objects for the same name, so that theory need not integrate twice.
    """
    return _KNOWN.get(activation)


@lru_cache(maxsize=64)
def gate(name: str, inner: float, outer: float) -> Pair:
    """x -> outer * f(inner * x) and its derivative."""
    f, slope = _GATES[name]

    def value(x: Array) -> Array:
        return outer * f(inner * x)

    def derivative(x: Array) -> Array:
        return outer * inner * slope(inner * x)

    return value, derivative


@lru_cache(maxsize=64)
def composed(first: Pair, then: Pair) -> Pair:
    """x -> then(first(x)) and its derivative."""

    def value(x: Array) -> Array:
        return then[0](first[0](x))

    def derivative(x: Array) -> Array:
        return then[1](first[0](x)) * first[1](x)

    return value, derivative
