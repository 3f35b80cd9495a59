"""Residual networks, transformers, mixers and the LSTM against formulas, written once more."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from networks import CLASSES, FORMS, IMAGE, batch, images, network, plan
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.errors import ConfigError
from normbench.models import MODELS, ModelSettings, Residual
from normbench.models.assemble import anatomy, assemble
from normbench.models.base import ImageShape
from normbench.models.network import Blueprint, Network
from normbench.norms import NormPolicy, make_method

TANH = ModelSettings(activation="tanh", init="torch_default")


def made(
    kind: str,
    norm: str = "none",
    image: ImageShape = IMAGE,
    common: ModelSettings = TANH,
    **options: Any,
) -> Network:
    blueprint = Blueprint(kind, MODELS[kind].Options(**options), common)
    return assemble(blueprint, make_method(norm), image, CLASSES, 0, 8)


def problem(kind: str, common: ModelSettings = ModelSettings(), **options: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        anatomy(Blueprint(kind, MODELS[kind].Options(**options), common), (8, 12, 1))
    (told,) = caught.value.problems
    return told.message


def close(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, atol=1e-5)


def layer_norm(x: Tensor, over: int | tuple[int, ...] = -1) -> Tensor:
    x = x - x.mean(over, keepdim=True)
    return x / (x.square().mean(over, keepdim=True) + NormPolicy().eps).sqrt()


# --- resnet ---


@pytest.mark.parametrize("order", ["v1", "v2"])
@pytest.mark.parametrize("shortcut", ["A", "B"])
@pytest.mark.parametrize("depth", [8, 20])
def test_a_resnet_has_as_many_layers_as_its_depth_says(depth, order, shortcut):
    net = made("resnet", depth=depth, width=4, order=order, shortcut=shortcut)
    layers = [m for n, m in net.module.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    extra = [n for n, _ in net.module.named_modules() if n.endswith(("skip.conv", "skip"))]
    shortcuts = [n for n in extra if isinstance(net.module.get_submodule(n), nn.Conv2d)]
    assert len(shortcuts) == (2 if shortcut == "B" else 0)
    assert len(layers) - len(shortcuts) == depth


def test_resnet_20_has_the_parameters_of_the_paper():
    # He et al. 2015, table 6: 0.27 million; to the last one by hand, less the head's bias.
    convolutions = 9 * (3 * 16 + 6 * 16**2 + 16 * 32 + 5 * 32**2 + 32 * 64 + 5 * 64**2)
    norms = 2 * (7 * 16 + 6 * 32 + 6 * 64)
    common = ModelSettings(bias=False)
    net = made("resnet", "original", (32, 32, 3), common, depth=20, width=16)
    assert sum(p.numel() for p in net.module.parameters()) == convolutions + norms + 64 * 10
    assert {type(norm).__name__ for norm in net.norms()} == {"BatchNormLayer"}
    shapes = [slot.shape for slot in net.slots]
    assert shapes == [(16, 32, 32)] * 7 + [(32, 16, 16)] * 6 + [(64, 8, 8)] * 6


def test_the_stem_for_large_images_quarters_them():
    net = made("resnet", image=(64, 64, 3), depth=8, width=4, stem="imagenet", order="v2")
    assert [layer.shape[1:] for layer in net.layers][:2] == [(32, 32), (16, 16)]
    assert net.slots[0].shape == (4, 16, 16)


def conv(x: Tensor, layer: Any) -> Tensor:
    size = layer.weight.shape[-1] // 2
    return F.conv2d(x, layer.weight, layer.bias, stride=layer.stride, padding=size)


def padded(x: Tensor, width: int) -> Tensor:
    small = x[:, :, ::2, ::2]
    return torch.cat([small, small.new_zeros(len(x), width - x.shape[1], *small.shape[2:])], 1)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_block_of_the_first_order_is_activated_behind_the_sum(shortcut):
    module: Any = made("resnet", depth=8, width=4, shortcut=shortcut).module
    x = torch.tanh(conv(images(3), module.stem.conv))
    for index, block in enumerate(module.blocks):
        inner = conv(torch.tanh(conv(x, block.branch.conv1)), block.branch.conv2)
        if index:
            width = inner.shape[1]
            x = padded(x, width) if shortcut == "A" else conv(x, block.skip.conv)
        x = torch.tanh(x + inner)
    wanted = x.mean((2, 3)) @ module.head.weight.T + module.head.bias
    assert close(module(images(3)), wanted)


@pytest.mark.parametrize("shortcut", ["A", "B"])
def test_a_block_of_the_second_order_is_activated_before_each_convolution(shortcut):
    module: Any = made("resnet", "layer", depth=8, width=4, order="v2", shortcut=shortcut).module

    def activated(x: Tensor) -> Tensor:
        return torch.tanh(layer_norm(x, (1, 2, 3)))

    x = conv(images(3), module.stem.conv)
    for index, block in enumerate(module.blocks):
        before = activated(x)
        inner = conv(activated(conv(before, block.branch.conv1)), block.branch.conv2)
        if index:  # where the shape changes, what is shared comes first
            x = padded(before, inner.shape[1]) if shortcut == "A" else conv(before, block.skip)
        x = x + inner
    wanted = activated(x).mean((2, 3)) @ module.head.weight.T + module.head.bias
    assert close(module(images(3)), wanted)


def test_a_depth_that_is_not_6n_plus_2_is_refused_with_one_that_is():
    assert problem("resnet", depth=18) == "a resnet has 6n+2 layers, as 20 is; got 18"


# --- residual_mlp, vit, mixer ---


def test_the_residual_mlp_is_its_formula():
    module: Any = made("residual_mlp", "layer", depth=2, width=8).module
    x = module.stem(images(3, flat=True))
    for block in module.blocks:
        x = x + block.branch.linear2(torch.tanh(block.branch.linear1(layer_norm(x))))
    assert close(module(images(3, flat=True)), module.head(torch.tanh(layer_norm(x))))


def attention(x: Tensor, block: Any, heads: int) -> Tensor:
    """Head by head, example by example."""
    size = x.shape[-1] // heads
    found = []
    for one in x:
        q, k, v = (f(one).split(size, 1) for f in (block.q, block.k, block.v))
        found.append(
            torch.cat(
                [torch.softmax(q[h] @ k[h].T / size**0.5, 1) @ v[h] for h in range(heads)],
                1,
            )
        )
    return block.out(torch.stack(found))


def tokens(x: Tensor, embed: Any) -> Tensor:
    """Patch by patch, row after row."""
    side = embed.kernel_size[0]
    kernel = embed.weight.flatten(1)
    patches = [
        x[:, :, i : i + side, j : j + side].flatten(1) @ kernel.T + embed.bias
        for i in range(0, x.shape[2], side)
        for j in range(0, x.shape[3], side)
    ]
    return torch.stack(patches, 1)


@pytest.mark.parametrize("pool", ["token", "mean"])
@pytest.mark.parametrize("position", ["pre", "post", "peri"])
def test_the_transformer_is_its_formula(position, pool):
    options = {"depth": 2, "width": 8, "heads": 2, "norm_position": position, "pool": pool}
    module: Any = made("vit", "layer", **options).module
    x = tokens(images(3), module.embed)
    if pool == "token":
        x = torch.cat([module.token.expand(3, 1, 8), x], 1)
    x = x + module.positions
    if position == "peri":
        x = layer_norm(x)
    for index, block in enumerate(module.blocks):

        def branch(z: Tensor, index: int = index, inside: Any = block.branch) -> Tensor:
            if index % 2:
                return inside.linear2(torch.tanh(inside.linear1(z)))
            return attention(z, inside, 2)

        if position == "pre":
            x = x + branch(layer_norm(x))
        elif position == "post":
            x = layer_norm(x + branch(x))
        else:
            x = x + layer_norm(branch(layer_norm(x)))
    x = x if position == "post" else layer_norm(x)
    assert close(module(images(3)), module.head(x[:, 0] if pool == "token" else x.mean(1)))


def test_positions_and_the_class_token_are_drawn_by_name():
    one, other = (made("vit", depth=1, width=64, pool=pool).module for pool in ("token", "mean"))
    values = one.positions.detach().double()
    assert values.std().item() == pytest.approx(0.02, rel=0.2)
    assert one.token.std().item() == pytest.approx(0.02, rel=0.3)
    assert not hasattr(other, "token") or other.token is None
    assert one.blocks[0].branch.q.weight.equal(other.blocks[0].branch.q.weight)


def test_the_mixer_is_its_formula():
    options = {"depth": 2, "width": 8, "token_width": 5, "feature_width": 7}
    module: Any = made("mixer", "layer", **options).module
    x = tokens(images(3), module.embed)
    for index, block in enumerate(module.blocks):
        z = layer_norm(x)
        z = z if index % 2 else z.mT
        z = block.branch.linear2(torch.tanh(block.branch.linear1(z)))
        x = x + (z if index % 2 else z.mT)
    assert close(module(images(3)), module.head(layer_norm(x).mean(1)))


def test_patches_and_heads_must_fit():
    told = problem("vit", patch=3)
    assert told == "patches of 3x3 do not cut a 8x12 image evenly; patch: 1, 2, 4"
    assert "evenly" in problem("mixer", patch=8)
    assert problem("vit", heads=3) == "3 heads do not divide a width of 128"


# --- lstm ---


@pytest.mark.parametrize("depth", [1, 2])
def test_without_norms_it_is_the_lstm_of_pytorch(depth):
    module: Any = made("lstm", image=(6, 7, 3), depth=depth, width=5).module
    reference = nn.LSTM(21, 5, depth, batch_first=True)

    def in_their_order(gates: Tensor) -> Tensor:
        forget, take, out, new = gates.chunk(4)
        return torch.cat([take, forget, new, out])

    with torch.no_grad():
        for index, cell in enumerate(module.cells):
            cell.gate_bias.copy_(torch.linspace(-1, 1, 20))
            getattr(reference, f"weight_ih_l{index}").copy_(in_their_order(cell.w_x.weight))
            getattr(reference, f"weight_hh_l{index}").copy_(in_their_order(cell.w_h.weight))
            getattr(reference, f"bias_ih_l{index}").copy_(in_their_order(cell.gate_bias))
            getattr(reference, f"bias_hh_l{index}").zero_()
    x = images(4, (6, 7, 3))
    rows = torch.stack([x[:, :, row].flatten(1) for row in range(6)], 1)
    states, _ = reference(rows)
    assert close(module(x), module.head(states[:, -1]))


def test_the_norms_of_the_lstm_stand_where_the_paper_has_them():
    module: Any = made("lstm", "layer", image=(2, 6, 1), width=5).module
    x, cell = images(4, (2, 6, 1)), module.cells[0]
    h = c = torch.zeros(4, 5)
    for row in range(2):
        z = layer_norm(h @ cell.w_h.weight.T) + layer_norm(x[:, 0, row] @ cell.w_x.weight.T)
        forget, take, out, new = z.chunk(4, 1)
        c = torch.sigmoid(forget) * c + torch.sigmoid(take) * torch.tanh(new)
        h = torch.sigmoid(out) * torch.tanh(layer_norm(c))
    assert close(module(x), module.head(h))


def test_the_norms_of_the_lstm_are_called_at_every_row():
    found = anatomy(plan("lstm"), IMAGE)
    assert [slot.path for slot in found.slots[:3]] == [
        f"cells.0.{name}" for name in ("norm_h", "norm_x", "norm_c")
    ]
    assert {slot.calls for slot in found.slots} == {8}


# --- all of them ---


@pytest.mark.parametrize("kind", ["resnet", "residual_mlp", "vit", "mixer", "lstm"])
def test_a_kind_with_an_order_of_its_own_refuses_a_placement(kind):
    told = problem(kind, ModelSettings(placement="post"), **FORMS[kind][1])
    assert told.startswith(f"placement is for mlp and cnn; {kind} has its own order")


@pytest.mark.parametrize(
    ("form", "in_branches"),
    [("resnet", 6), ("resnet-B", 8), ("resnet-v2", 6), ("residual_mlp", 2), ("vit", 2),
     ("vit-post", 4),
     ("vit-peri", 4), ("mixer", 2), ("lstm", 0)],
)  # fmt: skip
def test_a_slot_knows_its_residual_block(form, in_branches):
    found = anatomy(plan(form), IMAGE)
    inside = [slot for slot in found.slots if slot.branch is not None]
    assert len(inside) == in_branches
    module = network(form, "none").module
    assert found.residuals == sum(isinstance(part, Residual) for part in module.modules())
    assert all(slot.path.startswith(f"{slot.branch}.") for slot in inside)


def test_the_scales_of_a_residual_block_are_plain_factors():
    block = Residual(nn.Linear(4, 4), nn.Linear(4, 4), before=nn.Tanh(), after=nn.ReLU())
    block.scale, block.skip_scale = 0.25, 3.0
    block.branch_end = nn.Sigmoid()
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 4), dtype=np.float32))
    inner = x.tanh()
    wanted = torch.relu(3 * block.skip(inner) + 0.25 * block.branch(inner).sigmoid())
    assert close(block(x), wanted)
    block.skip = nn.Identity()  # which passes by what stands before the branch
    assert close(block(x), torch.relu(3 * x + 0.25 * block.branch(inner).sigmoid()))


@pytest.mark.parametrize("form", ["resnet", "resnet-v2", "vit-peri", "mixer", "lstm"])
def test_several_seeds_side_by_side_give_the_logits_of_each(form):
    nets = [network(form, "batch", seed=seed) for seed in (0, 1)]
    parameters, buffers = torch.func.stack_module_state([net.module for net in nets])
    x = batch(nets[0], 6)

    def logits(parameters: Any, buffers: Any) -> Tensor:
        return torch.func.functional_call(nets[0].module, (parameters, buffers), (x,))

    both = torch.func.vmap(logits)(parameters, buffers)
    for one, net in zip(both, nets, strict=True):
        assert torch.allclose(one, net.module(x), atol=1e-4)
