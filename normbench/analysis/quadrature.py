"""Nodes and weights for expectations: Gaussian, on spheres, and of correlated pairs."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@lru_cache(maxsize=1)
def gaussian() -> tuple[Array, Array]:
    """Nodes and weights of E[f(z)], z ~ N(0,1): Gauss-Legendre on either side of a kink at 0."""
    x, weight = np.polynomial.legendre.leggauss(128)
    z = 6.5 * (x + 1)  # to 13 standard deviations
    density = 6.5 * weight * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi)
    return np.concatenate([-z[::-1], z]), np.concatenate([density[::-1], density])


@lru_cache(maxsize=16)
def sphere(free: int, size: int) -> tuple[Array, Array, Array]:
    """Nodes (z_1, z_2) and weights for two coordinates of a normalized vector of ``size`` values.

    With ``free`` = size the vector is uniform on the sphere of radius sqrt(size); with size - 1
    also orthogonal to (1, ..., 1), so that two coordinates have correlation -1/(size - 1). Two
    orthonormal coordinates of a unit vector in n dimensions have density ~ (1 - r^2)^((n - 4)/2);
    with r = sin(t) it is ~ cos(t)^(n - 3) sin(t). Angles are split where z_1 or z_2 changes sign.
    """
    correlation = 0.0 if free == size else -1 / (size - 1)
    cosine, sine = correlation, np.sqrt(1 - correlation**2)
    x, weight = np.polynomial.legendre.leggauss(64)
    end = min(np.pi / 2, 13 / np.sqrt(free))
    t, weight_t = end * (x + 1) / 2, end * weight / 2
    radial = weight_t * np.cos(t) ** (free - 3) * np.sin(t)

    # z_1 ~ cos(angle), z_2 ~ cos(angle - offset).
    offset = np.arctan2(sine, cosine)
    kinks = np.sort(np.array([0.5, 1.5]) * np.pi)
    kinks = np.sort(np.concatenate([kinks, kinks + offset]) % (2 * np.pi))
    ends = np.append(kinks, kinks[0] + 2 * np.pi)
    x, weight = np.polynomial.legendre.leggauss(32)
    half = np.diff(ends)[:, None] / 2
    angle = (ends[:-1, None] + half * (x + 1)).ravel()
    angular = (half * weight).ravel()

    scale = np.sqrt(free) * np.sin(t)[:, None]
    one, two = scale * np.cos(angle), scale * np.cos(angle - offset)
    product = radial[:, None] * angular
    return one.ravel(), two.ravel(), product.ravel() / product.sum()


@lru_cache(maxsize=4)
def pairs(angles: int) -> tuple[Array, Array, Array, Array]:
    """``pairs_at`` for so many correlations cos(theta), theta from 0 to pi; their cosines first."""
    theta = np.linspace(0, np.pi, angles)
    return np.cos(theta), *pairs_at(theta)


def pairs_at(theta: Array) -> tuple[Array, Array, Array]:
    """Nodes of pairs z_1, z_2 ~ N(0, 1) at the correlations cos(theta). theta: [A]

    Returns z_1 [A, K], z_2 [A, K] and weights [A, K]. In polar coordinates, with the angle split
    where z_1 or z_2 changes sign, at which an activation may have a kink.
    """
    angles = len(theta)
    x, weight = np.polynomial.legendre.leggauss(24)
    radius = 4.5 * (x + 1)  # to 9 standard deviations
    radial = 4.5 * weight * radius * np.exp(-(radius**2) / 2) / (2 * np.pi)
    # z_1 = r cos(a) and z_2 = r cos(a - theta) change sign at these angles, in this order.
    half_turn = np.full(angles, np.pi)
    ends = np.stack([0 * theta, theta, half_turn, theta + np.pi, 2 * half_turn], axis=1) - np.pi / 2
    x, weight = np.polynomial.legendre.leggauss(12)
    half = np.diff(ends, axis=1)[:, :, None] / 2
    angle = (ends[:, :-1, None] + half * (x + 1)).reshape(angles, -1)
    angular = (half * weight).reshape(angles, -1)
    one = (np.cos(angle)[:, :, None] * radius).reshape(angles, -1)
    two = (np.cos(angle - theta[:, None])[:, :, None] * radius).reshape(angles, -1)
    return one, two, (angular[:, :, None] * radial).reshape(angles, -1)
