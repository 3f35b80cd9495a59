"""Theory of convolutions: padding, positions as examples, few channels a statistic."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from normbench.analysis.padding import padded_growth
from normbench.analysis.signal import growth_of_rows
from normbench.analysis.spatial import growth_of_channels, growth_without_norm, padding_factor
from normbench.analysis.theory import growth


def relu(z):
    return np.maximum(z, 0)


def step(z):
    return (z > 0).astype(float)


def chain(depth, side, channels=64, stages=1):
    """Shapes of a chain whose stages halve the side and double the channels."""
    each = depth // stages
    return [
        (channels * 2**s, side // 2**s, side // 2**s) for s in range(stages) for _ in range(each)
    ]


@pytest.mark.parametrize("side", [4, 8, 28])
def test_padding_takes_in_the_limit_what_a_path_graph_loses(side):
    found, ahead = growth_without_norm(relu, step, [2.0] * 400, 0.0, chain(400, side), None)
    assert ahead == pytest.approx(found, rel=1e-3)  # both ways the same kernel, and half of it
    assert found == pytest.approx(((1 + 2 * np.cos(np.pi / (side + 1))) / 3) ** 2, rel=1e-3)


def test_on_large_images_little_is_lost():
    found, _ = growth_without_norm(relu, step, [2.0] * 10, 0.0, chain(10, 64), None)
    assert 0.97 < found < 1
    half, _ = growth_without_norm(relu, step, [1.0] * 10, 0.0, chain(10, 64), None)
    assert half == pytest.approx(found / 2)


def test_weights_that_sum_to_zero_take_the_mean_away_but_for_the_border():
    gain = 2 / (1 - 1 / np.pi)
    law = growth_without_norm(relu, step, [gain] * 10, 0.0, chain(10, 64), None, centered=True)
    assert law[0] == pytest.approx(np.pi / (np.pi - 1), rel=0.02)
    assert law[1] == pytest.approx(1, rel=0.02)
    plain = growth_without_norm(relu, step, [gain] * 10, 0.0, chain(10, 64), None)
    assert plain[1] > 1.3


def test_the_maps_are_the_expectations_of_a_linear_network():
    """Without an activation the expected squares are exact at any width; over drawn weights."""
    shapes = chain(6, 4, channels=6, stages=2)
    rng = np.random.default_rng(0)
    total = np.zeros(len(shapes))
    for _ in range(60):
        x, below, zs = torch.from_numpy(rng.standard_normal((8, 6, 4, 4))), 6, []
        for channels, height, _ in shapes:
            stride = 1 if x.shape[-1] == height else 2
            weight = rng.standard_normal((channels, below, 3, 3)) * np.sqrt(1.2 / (9 * below))
            w = torch.from_numpy(weight).requires_grad_()
            x, below = F.conv2d(x, w, stride=stride, padding=1), channels
            zs.append(x)
        top = torch.from_numpy(rng.standard_normal((8, below, 1, 1))).expand_as(x)
        total += [float(g.square().sum()) for g in torch.autograd.grad(x, zs, top)]
    sizes = np.array([[np.prod(shape) for shape in shapes]], dtype=float)
    wanted = growth_of_rows(np.sqrt(total)[None], sizes)[0]
    known = ([1.2] * 6, 0.0, shapes, np.ones((4, 4)))
    found, _ = growth_without_norm(lambda z: z, np.ones_like, *known)
    assert found == pytest.approx(wanted, rel=0.05)


@pytest.mark.parametrize("placement", ["pre", "post"])
def test_on_large_images_padding_changes_nothing_and_on_small_ones_it_does(placement):
    known = {"centring": "channel", "placement": placement}
    large = padding_factor(relu, step, [2.0] * 8, chain(8, 24), **known)
    small = padding_factor(relu, step, [2.0] * 8, chain(8, 5), **known)
    assert 0.97 < large < 1
    assert small < large
    assert padding_factor(relu, step, [2.0] * 8, chain(8, 65), **known) == 1


def test_channels_that_are_centred_and_not_rescaled_pass_gradients_as_without_a_norm():
    shapes, known = chain(10, 16), {"centring": "channel", "placement": "pre", "divides": False}
    backward, forward = padded_growth(relu, step, [2.0] * 10, shapes, **known)
    alone = growth_without_norm(relu, step, [2.0] * 10, 0.0, shapes, None)
    assert backward == pytest.approx(alone[0], rel=1e-9)
    # Of a ReLU's mean square 1 / 2 the square of its mean is 1 / (2 pi).
    assert forward / alone[1] == pytest.approx(1 - 1 / np.pi, rel=0.03)


@pytest.mark.parametrize("centring", ["channel", "none"])
def test_a_gain_that_changes_at_the_border_of_a_stage_stays_in_the_line(centring):
    """dL/dz of a layer whose weights are smaller is larger: the norm divides that out again."""
    shapes, known = chain(6, 24), {"centring": centring, "placement": "pre"}
    even = padding_factor(relu, step, [2.0] * 6, shapes, **known)
    odd = padding_factor(relu, step, [2.0, 2.0, 2.0, 0.5, 2.0, 2.0], shapes, **known)
    changed = np.log([1, 1, 4, 1])  # ln(1 / gain) of the middle layers
    slope = np.polyfit(-np.arange(4), changed, 1)[0]
    assert odd / even == pytest.approx(np.exp(slope), rel=1e-3)


NETWORKS = [("batch", "pre"), ("batch", "post"), ("layer", "post"), ("rms", "pre"), ("none", "pre")]


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "placement"), NETWORKS)
def test_theory_agrees_with_wide_convolutions(digits, kind, placement):
    import normbench as nb

    changes = [
        f"norms=[{kind}]",
        f"baseline={kind}",
        f"model={{kind: cnn, depth: 12, stages: 2, width: 128, placement: {placement}}}",
        "data.batch_size=16",
    ]
    (row,) = nb.probe("digits", overrides=changes, seeds=3).table.to_dict("records")
    assert row["ratio"] == pytest.approx(1, abs=0.04)
    assert abs(row["z"]) < 2


def test_one_channel_a_statistic_is_batch_norm_over_positions():
    wanted = np.pi / (np.pi - 1)
    assert growth_of_channels(relu, step, 2.0, 0.0, 1) == pytest.approx(wanted, rel=0.015)
    instance = growth(
        statistics="example",
        centered=True,
        placement="pre",
        phi=relu,
        dphi=step,
        weight_gain=2.0,
        group_size=10_000,
        channels=1,
        shapes=[(64, 100, 100)],
    )
    assert instance == pytest.approx(wanted, rel=1e-3)


def test_more_channels_a_statistic_lead_from_batch_norms_law_to_layer_norms():
    found = [growth_of_channels(relu, step, 2.0, 0.0, channels) for channels in (2, 4, 16, 64)]
    assert found == sorted(found, reverse=True)
    assert 1 < found[-1] < 1.08
    assert found[0] < 1.467
    # A gain cancels, and so it is with the law itself.
    assert growth_of_channels(relu, step, 0.3, 0.0, 4) == found[1]


@pytest.mark.parametrize(("centered", "least", "most"), [(True, 1.0, 1.02), (False, 1.0, 1.02)])
def test_norms_over_all_channels_preserve_as_in_a_fully_connected_network(centered, least, most):
    found = growth(
        statistics="example",
        centered=centered,
        placement="pre",
        phi=relu,
        dphi=step,
        weight_gain=2.0,
        group_size=256 * 64,
        channels=256,
        shapes=[(256, 8, 8)] * 9,
    )
    assert least <= found < most
