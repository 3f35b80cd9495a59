"""Parts of the float64 formulas that the methods bring along for their tests, in NumPy.

Written apart from the layers, with other operations, so that the two can disagree.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from normbench.norms.base import Floats


def along(values: Floats, x: Floats) -> Floats:
    """values [C], or one number, in the shape that stands against axis 1 of x."""
    return values.reshape((1, -1) + (1,) * (x.ndim - 2)) if values.ndim else values


def affine(y: Floats, values: Mapping[str, Floats]) -> Floats:
    """y * weight + bias, those of them that ``values`` has."""
    if "weight" in values:
        y = y * along(values["weight"], y)
    return y + along(values["bias"], y) if "bias" in values else y


def positions(x: Floats) -> tuple[int, ...]:
    """The axes of x [N, C, H, W] that are positions."""
    return tuple(range(2, x.ndim))


def everything(x: Floats, axes: str) -> tuple[int, ...]:
    """The axes of one example's statistics: all of it (chw), or the features alone (c)."""
    return (1, *positions(x)) if axes == "chw" else (1,)


def centred(x: Floats, over: tuple[int, ...]) -> Floats:
    """x less its mean over the axes ``over``."""
    return x - x.mean(over, keepdims=True)


def divided(x: Floats, over: tuple[int, ...], eps: float) -> Floats:
    """x over the root of its mean square along ``over`` plus eps."""
    return x / np.sqrt((x**2).mean(over, keepdims=True) + eps)


def in_groups(x: Floats, groups: int) -> Floats:
    """[N, C, ...] -> [N, groups, values of a group]."""
    return x.reshape(len(x), groups, -1)


def kept(values: Mapping[str, Floats], name: str, x: Floats) -> Floats:
    """A running statistic [C] by its name, against axis 1 of x."""
    return along(values[name], x)
