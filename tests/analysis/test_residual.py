"""Residual networks by theory: the polynomial laws, simulated streams, and what it leaves open."""

from dataclasses import asdict

import numpy as np
import pytest

from normbench.analysis.residual import follow
from normbench.analysis.stream import Beyond, Setting
from normbench.norms.laws import Law

LAWS = {
    "none": Law("none", centered=False),
    "layer": Law("example", centered=True),
    "batch": Law("batch", centered=True),
}
L, PI = 12, np.pi


def setting(name, *, batch=10**9):
    return Setting(asdict(LAWS[name]), batch)


def block(before=(), branch=(), end=(), after=(), skip=None, scale=1.0, skip_scale=1.0):
    parts = {"before": before, "branch": branch, "end": end, "after": after, "skip": skip}
    lists = {name: None if v is None else [list(o) for o in v] for name, v in parts.items()}
    return ["block", {**lists, "scale": scale, "skip_scale": skip_scale}]


STEM = ["linear", 1.0, 0.0]
BRANCH = [("linear", 2.0, 0.0), ("act", "relu"), ("linear", 1.0, 0.0)]  # adds what enters it
NORM, RELU = ("norm",), ("act", "relu")


def flat(name, *blocks, **options):
    return follow([STEM, *blocks], setting(name, **options), (), 1.0, 0.0)


def test_without_a_norm_every_block_doubles_both_ways():
    found = flat("none", *[block(branch=BRANCH)] * L)
    np.testing.assert_allclose(found.entering, 2.0 ** np.arange(L))
    np.testing.assert_allclose(found.gradient, 2.0 ** np.arange(L)[::-1])
    np.testing.assert_allclose(found.shares, 0.5)


def test_a_branch_over_the_root_of_the_depth_tends_to_e():
    many = 200
    found = flat("none", *[block(branch=BRANCH, scale=many**-0.5)] * (many + 1))
    assert found.entering[-1] == pytest.approx(np.e, rel=0.01)
    assert found.gradient[0] == pytest.approx(np.e, rel=0.01)


def test_a_norm_before_the_branch_makes_a_power_law():
    found = flat("layer", *[block(before=[NORM], branch=BRANCH)] * L)
    along = 1.0 + np.arange(L)
    np.testing.assert_allclose(found.entering, along)
    # (1 + L) / (1 + l) at block l, here over that of the last.
    np.testing.assert_allclose(found.gradient, along[-1] / along)
    np.testing.assert_allclose(found.shares, along / (along + 1))


def test_batch_norm_divides_by_what_the_batch_does_not_share():
    found = flat("batch", *[block(before=[NORM], branch=BRANCH)] * L)
    np.testing.assert_allclose(found.entering, 1.0 + np.arange(L))
    variance = 1 + (1 - 1 / PI) * np.arange(L)
    wanted = np.append(np.cumprod((1 + 1 / variance)[:-1][::-1])[::-1], 1.0)
    np.testing.assert_allclose(found.gradient, wanted, rtol=1e-6)


def test_the_residual_of_a_small_batch_grows_more_than_that_of_a_large_one():
    small, large = (
        flat("batch", *[block(before=[NORM], branch=BRANCH)] * L, batch=n).gradient[0]
        for n in (16, 10**9)
    )
    assert small > 1.02 * large


def test_a_norm_behind_the_sum_leaves_one_factor_a_block():
    alpha = L**0.25
    found = flat("layer", *[block(branch=BRANCH, after=[NORM], skip_scale=alpha)] * L)
    np.testing.assert_allclose(found.entering, 1.0)
    np.testing.assert_allclose(found.gradient, 1.0)
    np.testing.assert_allclose(found.shares, alpha**2 / (alpha**2 + 1))


@pytest.mark.parametrize("gain", [1e-3, 1.0, 50.0])
def test_peri_norm_is_the_pre_norm_law_whatever_the_scale_of_the_weights(gain):
    branch = [("linear", gain, 0.0), RELU, ("linear", gain, 0.0)]
    found = flat("layer", *[block(before=[NORM], branch=branch, end=[NORM])] * L)
    along = 1.0 + np.arange(L)
    np.testing.assert_allclose(found.entering, along)
    np.testing.assert_allclose(found.gradient, along[-1] / along)


@pytest.mark.parametrize("order", ["v1", "v2"])
@pytest.mark.parametrize("name", ["none", "batch"])
def test_a_branch_that_starts_at_zero_leaves_exactly_the_skip(order, name):
    branch = [*BRANCH, ("scale", 0.0)]
    one = block(branch=branch, after=[RELU]) if order == "v1" else block([NORM, RELU], branch)
    stem = [STEM, list(RELU)] if order == "v1" else [STEM]
    found = follow([*stem, *[one] * L], setting(name), (), 1.0, 0.0)
    np.testing.assert_allclose(found.entering, found.entering[0], rtol=1e-9)
    np.testing.assert_allclose(found.gradient, 1.0, rtol=1e-9)
    np.testing.assert_allclose(found.shares, 1.0)


def simulated(blocks, features=60_000):
    """A stream to which every block adds a variance of 1 before it is rectified: its mean squares,
    and the squared gradients back, of which a branch gives 1 / mean square of what meets its end.
    """
    rng = np.random.default_rng(0)
    x = np.maximum(rng.standard_normal(features), 0)
    masks, squares = [], []
    for _ in range(blocks):
        squares.append((x**2).mean())
        x = x + rng.standard_normal(features)
        masks.append(x > 0)
        x = np.maximum(x, 0)
    gradient, found = np.ones(features), []
    for mask, square in zip(masks[::-1], squares[::-1], strict=True):
        gradient = gradient * mask
        gradient = gradient + gradient.mean() / square
        found.append(gradient.mean())
    return np.array(squares), np.array(found[::-1]) / found[0]


def test_with_the_activation_behind_the_sum_the_stream_is_a_reflected_walk():
    """Layer norm in the branch: it adds a variance of 1, whatever enters."""
    branch = [("linear", 2.0, 0.0), NORM, RELU, ("linear", 2.0, 0.0), NORM]
    outline = [STEM, list(NORM), list(RELU), *[block(branch=branch, after=[RELU])] * L]
    found = follow(outline, setting("layer"), (), 1.0, 0.0)
    squares, gradient = simulated(L)
    np.testing.assert_allclose(found.entering, squares, rtol=0.03)
    np.testing.assert_allclose(found.gradient, gradient, rtol=0.06)
    np.testing.assert_allclose(found.shares, squares / (squares + 1), rtol=0.03)


def test_a_shortcut_that_fills_up_with_zeros_halves_the_mean_square_and_the_gradient():
    widening = block(branch=BRANCH, skip=[("pad", 0.5, 1)])
    found = flat("none", block(branch=BRANCH), widening, block(branch=BRANCH))
    np.testing.assert_allclose(found.entering, [1, 2, 3])
    np.testing.assert_allclose(found.shares, [0.5, 1 / 3, 0.5])
    # Of what comes back to the widening one, half meets channels that were not there.
    np.testing.assert_allclose(found.gradient, [2 * 1.5, 1.5, 1.0])


def test_zero_padding_takes_from_the_border_of_what_a_convolution_adds():
    conv = [("conv", 1.0, 0.0, 3, 1)]
    outline = [["conv", 1.0, 0.0, 1, 1], *[block(branch=conv)] * 3]
    side = 8
    found = follow(outline, setting("none"), (side, side), np.ones(side**2), 0.0)
    inside = ((3 * side - 2) / (3 * side)) ** 2
    assert found.entering[1] == pytest.approx(1 + inside)
    assert found.shares[0] == pytest.approx(1 / (1 + inside))
    assert found.entering[2] > (1 + inside) ** 2  # the middle, which has grown, loses less
    large = follow(outline, setting("none"), (64, 64), np.ones(64**2), 0.0)
    assert large.entering[1] == pytest.approx(2, rel=0.03)


@pytest.mark.parametrize(
    ("law", "operations", "word"),
    [
        (Law("example", centered=False, partial=True), [NORM], "plain"),
        (Law("batch", centered=True), [RELU, NORM], "before the activation"),
        (Law("none", centered=False), [("act", "mine")], "does not know the activation mine"),
    ],
)
def test_what_theory_does_not_cover_it_names(law, operations, word):
    with pytest.raises(Beyond, match=word):
        follow([STEM, block(before=operations, branch=BRANCH)], Setting(asdict(law), 64), (), 1, 0)
