"""The sizes of the deep MLP and of the stages of the deep CNN."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench.errors import ConfigError
from normbench.models import ACTIVATIONS, MODELS, Chain, ModelSettings
from normbench.models.assemble import anatomy, assemble
from normbench.models.base import ImageShape
from normbench.models.network import Blueprint
from normbench.norms import NormSlot, make_method


def plan(kind: str, settings: ModelSettings = ModelSettings(), **options: int) -> Blueprint:
    return Blueprint(kind, MODELS[kind].Options(**options), settings)


def slots(image: ImageShape, kind: str = "cnn", **options: int) -> tuple[NormSlot, ...]:
    return anatomy(plan(kind, **options), image).slots


def network(
    kind: str,
    image: ImageShape = (32, 32, 3),
    classes: int = 10,
    settings: ModelSettings = ModelSettings(),
    **options: int,
) -> Chain:
    net = assemble(plan(kind, settings, **options), make_method("batch"), image, classes, 0)
    assert isinstance(net.module, Chain)
    return net.module


def sizes(net: Chain, x: torch.Tensor) -> list[tuple[int, ...]]:
    """The shape of every block's output, without the batch."""
    found = []
    for block in net.blocks:
        x = block(x)
        found.append(tuple(x.shape[1:]))
    return found


def test_stages_halve_the_size_and_double_the_width():
    net = network("cnn", depth=9, stages=3, width=4)
    expected = [(4, 32, 32)] * 3 + [(8, 16, 16)] * 3 + [(16, 8, 8)] * 3
    assert sizes(net, torch.zeros(2, 3, 32, 32)) == expected
    assert net.head.in_features == 16


@pytest.mark.parametrize(
    ("depth", "stages", "expected"),
    [(10, 3, [4, 3, 3]), (11, 3, [4, 4, 3]), (4, 1, [4]), (60, 3, [20, 20, 20]), (6, 6, [1] * 6)],
)
def test_layers_are_spread_evenly_the_earlier_stages_taking_the_rest(depth, stages, expected):
    widths = [slot.features for slot in slots((32, 32, 3), depth=depth, stages=stages, width=4)]
    assert [widths.count(4 * 2**stage) for stage in range(stages)] == expected


@pytest.mark.parametrize("image", [(7, 7, 1), (8, 13, 3), (28, 28, 1), (9, 4, 3)])
def test_slots_tell_the_shapes_that_the_network_has(image):
    height, width, channels = image
    net = network("cnn", image, depth=5, stages=3, width=4)
    shapes = sizes(net, torch.zeros(2, channels, height, width))
    found = slots(image, depth=5, stages=3, width=4)
    assert [slot.shape for slot in found] == shapes
    assert [slot.features for slot in found] == [channels for channels, *_ in shapes]


def test_convolutions_are_three_by_three_and_stride_only_into_a_new_stage():
    net = network("cnn", depth=6, stages=3, width=4)
    convolutions = [block.linear for block in net.blocks]
    assert {conv.kernel_size for conv in convolutions} == {(3, 3)}
    assert [conv.stride[0] for conv in convolutions] == [1, 1, 2, 1, 2, 1]
    assert [conv.in_channels for conv in convolutions] == [3, 4, 4, 8, 8, 16]


@pytest.mark.parametrize(
    ("options", "image", "message"),
    [
        ((4, 5), (32, 32, 3), "5 stages need at least 5 layers"),
        ((6, 5), (8, 8, 1), "5 stages halve a 8x8 image 4 times"),
        ((6, 3), (8, 2, 1), "3 stages halve a 8x2 image 2 times"),
    ],
)
def test_too_many_stages_are_refused_with_a_reason(options, image, message):
    depth, stages = options
    with pytest.raises(ConfigError, match=message):
        slots(image, depth=depth, stages=stages, width=4)


def test_a_single_pixel_at_the_last_stage_is_enough():
    net = network("cnn", (8, 8, 1), depth=4, stages=4, width=4)
    assert sizes(net, torch.zeros(2, 1, 8, 8))[-1] == (32, 1, 1)


@pytest.mark.parametrize("depth", [2, 200])
def test_an_mlp_has_its_depth_and_width_and_a_head(depth):
    net = network("mlp", (8, 8, 1), 7, depth=depth, width=5)
    linears = [module for module in net.modules() if isinstance(module, nn.Linear)]
    assert [(m.in_features, m.out_features) for m in linears] == [
        (64, 5),
        *[(5, 5)] * (depth - 1),
        (5, 7),
    ]
    assert net(torch.zeros(2, 64)).shape == (2, 7)
    found = slots((8, 8, 1), "mlp", depth=depth, width=5)
    assert [slot.shape for slot in found] == [(5,)] * depth


@pytest.mark.parametrize("activation", list(ACTIVATIONS))
def test_every_activation_trains_a_little(activation):
    net = network("mlp", (8, 8, 1), settings=ModelSettings(activation=activation), depth=2, width=8)
    x = torch.linspace(-1, 1, 4 * 64).view(4, 64)
    net(x).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
    assert type(net.blocks[0].activation) is type(ACTIVATIONS[activation]())
