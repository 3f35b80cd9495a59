"""A module's norms exchanged in its owner's own code, and what that is in plain PyTorch."""

from __future__ import annotations

import copy
import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import normbench as nb
from normbench.errors import ConfigError
from normbench.models.assemble import problem_of
from normbench.models.base import ModelSettings
from normbench.models.network import Blueprint
from normbench.models.plain import plain
from normbench.models.slots import examine
from normbench.norms import NORMS, NormPolicy, NormSlot, make_method
from normbench.norms.layouts import layer_at
from normbench.swapped import in_pytorch


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.norm = nn.BatchNorm2d(16)
        self.deep = nn.Sequential(
            nn.Conv2d(16, 16, 3), nn.BatchNorm2d(16), nn.ReLU(inplace=True),
            nn.Conv2d(16, 8, 3), nn.BatchNorm2d(8, eps=1e-3, momentum=0.01))  # fmt: skip
        self.unused = nn.LayerNorm(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.deep(torch.relu(self.norm(self.conv(x)))).mean((2, 3)))


def images(count: int = 4) -> Tensor:
    shape = (count, 3, 12, 12)
    return torch.from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))


def test_the_same_module_comes_back_with_its_norms_exchanged():
    net = Net()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    report = nb.swap(net, "rms", example=images())
    assert report.module is net
    assert type(net.norm).__name__ == type(net.deep[1]).__name__ == "RMSNormLayer"
    for name, value in net.named_parameters():
        if name.startswith(("conv", "head", "deep.0", "deep.3")):
            assert value.equal(before[name])
    net(images()).sum().backward()
    assert all(p.grad is not None for n, p in net.named_parameters() if "unused" not in n)


def test_it_computes_what_the_plain_lines_say():
    ours, theirs = Net(), Net()
    theirs.load_state_dict(ours.state_dict())
    report = nb.swap(ours, "group", example=images(), groups=4)
    assert report.lines() == [
        "norm: nn.BatchNorm2d(16) -> nn.GroupNorm(4, 16)",
        "deep.1: nn.BatchNorm2d(16) -> nn.GroupNorm(4, 16)",
        "deep.4: nn.BatchNorm2d(8, eps=0.001, momentum=0.01) -> nn.GroupNorm(4, 8)",
    ]
    theirs.norm, theirs.deep[1], theirs.deep[4] = (
        nn.GroupNorm(4, 16), nn.GroupNorm(4, 16), nn.GroupNorm(4, 8)
    )  # fmt: skip
    assert torch.allclose(ours(images()), theirs(images()), atol=1e-5)


def test_the_report_says_what_changed_how_often_and_what_was_kept():
    told = str(nb.swap(Net(), "layer", example=images(), keep=["deep.4"]))
    assert told.splitlines() == [
        "2 norms exchanged for layer",
        "  nn.BatchNorm2d(16) -> nn.GroupNorm(1, 16), 2 times",
        "2 kept",
        "  deep.4 (BatchNorm2d): asked for",
        "  unused (LayerNorm): the forward pass never calls it",
    ]


def test_original_changes_nothing():
    net = Net()
    norms = [net.norm, net.deep[1]]
    report = nb.swap(net, "original", example=images())
    assert report.swaps == ()
    assert [net.norm, net.deep[1]] == norms


def test_looking_leaves_mode_statistics_and_generator_alone():
    net = Net().eval()
    net.deep[1].train()
    modes = {name: part.training for name, part in net.named_modules()}
    state = torch.get_rng_state()
    before = copy.deepcopy(net.state_dict())
    nb.swap(net, "original", example=images())
    assert {name: part.training for name, part in net.named_modules()} == modes
    assert torch.get_rng_state().equal(state)
    assert all(value.equal(before[name]) for name, value in net.state_dict().items())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_new_norms_have_the_type_and_mode_of_the_old(dtype):
    net = Net().to(dtype).eval()
    nb.swap(net, "batch", example=images().to(dtype))
    assert {p.dtype for p in net.parameters()} == {dtype}
    assert not net.norm.training
    assert net(images().to(dtype)).dtype == dtype


def test_the_norms_of_a_module_on_the_meta_device_stay_there():
    with torch.device("meta"):
        net = Net()
    nb.swap(net, "layer", example=images())
    assert {p.device.type for p in net.parameters()} == {"meta"}


@pytest.mark.parametrize(
    ("norm", "more", "message"),
    [
        ("btach", {}, "unknown norm 'btach'"),
        ("nowhere.py:Norm", {}, "there is no file"),
        ("group", {"groups": 5}, "5 groups do not divide 16 channels evenly"),
        ("group", {"group": 4}, "group has no option 'group'"),
        ("rms", {"example": torch.zeros(2, 3, 2, 2)}, "the network fails in conv"),
        ("rms", {"example": torch.zeros(3)}, "must be a batch"),
        ("rms", {"keep": ["norm", "deep"]}, "no norm was found"),
    ],
)
def test_a_mistake_is_a_sentence_and_changes_nothing(norm, more, message):
    net = Net()
    with pytest.raises(ConfigError) as caught:
        nb.swap(net, norm, **{"example": images(), **more})
    assert message in str(caught.value)
    assert isinstance(net.norm, nn.BatchNorm2d)


def test_a_norm_alone_is_no_network():
    with pytest.raises(ConfigError, match="itself a norm"):
        nb.swap(nn.BatchNorm2d(3), "rms", example=images())


# --- plain PyTorch ---

SLOTS = {
    "features": NormSlot.of(8),
    "images": NormSlot.of(8, 5, 6),
    "sequence": NormSlot.of(8, 7),
    "tokens": NormSlot("norm", 8, (7, 8), -1),
    "channels last": NormSlot("norm", 8, (5, 6, 8), -1),
}
POLICIES = {
    "usual": NormPolicy(),
    "other": NormPolicy(eps=1e-3, affine=False, momentum=0.2, axes="c"),
    "bare": NormPolicy(affine=False),
}


def computed(text: str, x: Tensor) -> Tensor:
    """What the line computes."""
    call, _, view = text.partition(" on ")
    seen = eval(view, {"x": x}) if view else x
    y = eval(call, {"nn": nn})(seen)
    if view == "x.flatten(0, -2)":
        return y.reshape(x.shape)
    if view == "x.movedim(-1, 1)":
        return y.movedim(1, -1)
    return y.movedim(-1, 1) if view else y


@pytest.mark.parametrize("policy", list(POLICIES))
@pytest.mark.parametrize("where", list(SLOTS))
@pytest.mark.parametrize("norm", ["none", "batch", "group", "instance", "layer", "rms"])
def test_a_plain_line_computes_what_our_layer_does(norm, where, policy):
    slot, method = SLOTS[where], make_method(norm, POLICIES[policy])
    if norm == "group":
        method = make_method(norm, POLICIES[policy], groups=4)
    if method.problem(slot, 6):
        pytest.skip("does not fit")
    layer = layer_at(method, slot)
    x = torch.from_numpy(np.random.default_rng(1).standard_normal((6, *slot.shape)) * 2 + 1).float()
    text = plain(layer, slot)
    if text is None:  # PyTorch's has a scale an element
        assert norm == "rms"
        assert slot.has_positions
        assert policy == "usual"
        return
    assert torch.allclose(layer(x), computed(text, x), atol=1e-5), text


@pytest.mark.parametrize(
    "text",
    ["nn.BatchNorm2d(64)", "nn.BatchNorm1d(64, eps=0.001, momentum=0.01, affine=False)",
     "nn.BatchNorm2d(8, momentum=None, track_running_stats=False)", "nn.GroupNorm(8, 64)",
     "nn.LayerNorm(64)", "nn.LayerNorm((3, 8, 8), elementwise_affine=False)",
     "nn.InstanceNorm2d(8, affine=True)", "nn.RMSNorm(64)", "nn.RMSNorm(64, eps=0.001)"],
)  # fmt: skip
def test_a_layer_of_pytorch_is_written_as_it_was_made(text):
    assert plain(eval(text), NormSlot.of(64)) == text


def test_of_what_pytorch_has_not_there_is_no_line_but_the_layers_own_name():
    report = nb.swap(Net(), "rms", example=images())
    (first, *_) = in_pytorch((s.before, s.after) for s in report.swaps)
    assert re.fullmatch(r"nn\.BatchNorm2d\(16\) -> RMSNormLayer\(16, .*\), 2 times", first)


@pytest.mark.parametrize("norm", list(NORMS))
def test_every_norm_is_swapped_into_a_plain_network_or_says_why_not(norm):
    anatomy = examine(Net(), images())
    blueprint = Blueprint("torchvision", None, ModelSettings())
    if problem_of(blueprint, anatomy, make_method(norm), 4):
        with pytest.raises(ConfigError, match="norm: "):
            nb.swap(Net(), norm, example=images())
    else:
        assert nb.swap(Net(), norm, example=images()).module(images()).isfinite().all()
