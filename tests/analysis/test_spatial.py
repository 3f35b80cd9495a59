"""Theory of convolutions: padding, positions as examples, few channels a statistic."""

import numpy as np
import pytest
import torch
from torch import nn

from normbench.analysis.signal import growth_of_rows
from normbench.analysis.spatial import growth_of_channels, growth_without_norm
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
    found = growth_without_norm(relu, step, [2.0] * 400, 0.0, chain(400, side), None)
    assert found == pytest.approx(((1 + 2 * np.cos(np.pi / (side + 1))) / 3) ** 2, rel=1e-3)


def test_on_large_images_little_is_lost():
    found = growth_without_norm(relu, step, [2.0] * 10, 0.0, chain(10, 64), None)
    assert 0.97 < found < 1
    half = growth_without_norm(relu, step, [1.0] * 10, 0.0, chain(10, 64), None)
    assert half == pytest.approx(found / 2)


def test_the_maps_are_the_expectations_of_a_linear_network():
    """Without an activation the expected squares are exact at any width; over drawn weights."""
    shapes = chain(6, 6, channels=6, stages=2)
    rng = np.random.default_rng(0)
    total = np.zeros(len(shapes))
    for _ in range(400):
        x, below = torch.from_numpy(rng.standard_normal((1, 6, 6, 6))), 6
        zs = []
        for index, (channels, height, _width) in enumerate(shapes):
            stride = 1 if x.shape[-1] == height else 2
            conv = nn.Conv2d(below, channels, 3, stride, 1, bias=False, dtype=torch.float64)
            with torch.no_grad():
                weight = rng.standard_normal(conv.weight.shape) * np.sqrt(1.2 / (9 * below))
                conv.weight.copy_(torch.from_numpy(weight))
            x, below = conv(x), channels
            zs.append(x)
            assert index == len(zs) - 1
        top = torch.from_numpy(rng.standard_normal((1, below, 1, 1))).expand_as(x)
        total += [float(g.square().sum()) for g in torch.autograd.grad(x, zs, top)]
    sizes = np.array([[np.prod(shape) for shape in shapes]], dtype=float)
    wanted = growth_of_rows(np.sqrt(total)[None], sizes)[0]
    found = growth_without_norm(lambda z: z, np.ones_like, [1.2] * 6, 0.0, shapes, np.ones((6, 6)))
    assert found == pytest.approx(wanted, rel=0.05)


def test_one_channel_a_statistic_is_batch_norm_over_positions():
    wanted = np.pi / (np.pi - 1)
    assert growth_of_channels(relu, step, 2.0, 0.0, 1) == pytest.approx(wanted, rel=2e-3)
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
    assert 1 < found[-1] < 1.05
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
