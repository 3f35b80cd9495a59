"""A norm looks the same everywhere, and different from the others, whoever looks."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from normbench.charts.palette import DARK_BACKGROUND, LIGHT_BACKGROUND, norm_styles

NORMS = ["none", "batch", "layer", "rms", "group", "instance"]
# Machado, Oliveira & Fernandes 2009, severity 1.0, in linear RGB.
VISION = {
    "typical": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(colour: str) -> np.ndarray:
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    a, b = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (b + 0.05) / (a + 0.05)


def lab(rgb: np.ndarray) -> np.ndarray:
    to_xyz = np.array(
        [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    )
    xyz = to_xyz @ np.clip(rgb, 0, 1) / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_stay_apart_for_every_eye(scheme, vision):
    colours = [getattr(look, scheme) for look in norm_styles([*NORMS, "x", "y"]).values()]
    seen = [lab(VISION[vision] @ linear(colour)) for colour in colours]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 15


@pytest.mark.parametrize(
    ("scheme", "background"),
    [
        ("light", LIGHT_BACKGROUND),
        ("dark", DARK_BACKGROUND),
        ("terminal", "#000000"),
        ("terminal", "#ffffff"),
    ],
)
def test_colours_stand_out_from_their_background(scheme, background):
    for name, look in norm_styles([*NORMS, "x", "y"]).items():
        assert contrast(getattr(look, scheme), background) >= 3, name


def test_without_colour_dash_and_shape_tell_norms_apart():
    found = norm_styles([*NORMS, "x", "y"]).values()
    assert len({look.dash for look in found}) == len({look.shape for look in found}) == 8


def test_a_norm_looks_the_same_beside_any_others():
    everywhere = norm_styles(NORMS)
    for others in (["batch"], ["rms", "batch"], ["zzz", "batch", "aaa"], ["batch", "batch2"]):
        assert norm_styles(others)["batch"] == everywhere["batch"]


def test_the_order_of_the_labels_does_not_matter():
    names = ["b", "none", "group(groups=4)", "a", "group(groups=8)"]
    for order in itertools.permutations(names):
        assert norm_styles(order) == norm_styles(names)


def test_options_keep_the_look_of_their_kind():
    assert norm_styles(["group(groups=4)"])["group(groups=4)"] == norm_styles(["group"])["group"]


@pytest.mark.parametrize("count", [1, 8, 9, 16, 30])
def test_any_number_of_norms_is_told_apart(count):
    found = norm_styles([f"norm {i}" for i in range(count)])
    assert len({(look.light, look.dash) for look in found.values()}) == count
