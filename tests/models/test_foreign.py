"""Networks that others wrote, in all the ways in which one may write a network."""

from __future__ import annotations

import re

import pytest
import torch
from foreign_networks import InPlace, Plain, check_all, found, made
from networks import CLASSES, images
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.models.assemble import problem_of
from normbench.models.base import ModelSettings
from normbench.models.foreign import Foreign, ForeignOptions
from normbench.models.init import MODULE
from normbench.norms import NormMethod, NormPolicy
from normbench.training.evaluation import keepers


def test_a_plain_network_trains_under_every_norm(plan):
    norms = check_all(plan(Plain))
    assert {"original", "none", "batch", "layer", "rms", "group", "instance"} <= set(norms)
    (slot,) = found(plan(Plain)).slots
    assert (slot.path, slot.shape, slot.producer, slot.activation) == (
        "norm",
        (8, 8, 8),
        "conv",
        None,
    )


class Shared(Plain):
    """One norm, under two names, at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.again = self.norm

    def body(self, x: Tensor) -> Tensor:
        return F.relu(self.again(self.conv2(super().body(x))))


def test_a_shared_norm_is_one_slot_and_stays_shared(plan):
    check_all(plan(Shared))
    (slot,) = found(plan(Shared)).slots
    assert slot.calls == 2
    net = made(plan(Shared), "layer")
    assert net.module.again is net.module.norm
    assert type(net.module.norm).__name__ == "LayerNormLayer"


class Repeated(Plain):
    """The same convolution and norm, three times over."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = nn.Conv2d(8, 8, 3, padding=1)

    def body(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        for _ in range(3):
            x = F.relu(self.norm(self.loop(x)))
        return x


def test_a_norm_that_is_called_several_times_counts_its_calls(plan):
    check_all(plan(Repeated))
    (slot,) = found(plan(Repeated)).slots
    assert (slot.calls, slot.producer) == (3, "loop")


def test_what_writes_into_its_input_is_told_from_what_follows(plan):
    check_all(plan(InPlace))
    slots = {slot.path: slot.activation for slot in found(plan(InPlace)).slots}
    # Behind norm2 a sum stands first, which is written into the same memory.
    assert slots == {"norm0": "act0", "norm1": "act1", "norm2": None}


def test_without_a_norm_the_input_is_not_written_into(plan):
    net = made(plan(InPlace), "none")
    x = images(4)
    before = x.clone()
    net.module(x)
    assert x.equal(before)


class ByKeyword(nn.Module):
    """Gives one norm its input by keyword, once in a while."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8)
        self.both, self.other = nn.BatchNorm2d(8), nn.GroupNorm(2, 8)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.both(input=self.both(self.norm(input=self.conv(x))))
        return self.head(self.other(x).relu().mean((2, 3)))


def test_a_norm_that_is_called_by_keyword_is_kept_and_told(plan):
    check_all(plan(ByKeyword))
    anatomy = found(plan(ByKeyword))
    assert [slot.path for slot in anatomy.slots] == ["other"]
    assert {k.path: k.reason.partition(",")[0] for k in anatomy.kept} == dict.fromkeys(
        ("norm", "both"), "its input is given by a keyword"
    )


class Lazy(nn.Module):
    """Learns its sizes from the first batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = (
            nn.LazyConv2d(8, 3),
            nn.LazyBatchNorm2d(),
            nn.LazyLinear(CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.norm(self.conv(x))).flatten(1))


def test_lazy_modules_learn_their_sizes_and_are_drawn_by_the_seed(plan):
    check_all(plan(Lazy))
    nets = [
        made(plan(Lazy), norm, seed) for norm, seed in (("batch", 0), ("layer", 0), ("layer", 1))
    ]
    assert [net.slots[0].features for net in nets] == [8, 8, 8]
    first, same, other = (net.backbone_sha256 for net in nets)
    assert first == same != other


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Flatten()
        self.first = nn.Linear(64, 64)
        self.norm = nn.LayerNorm(64)
        self.second = nn.Linear(64, 64, bias=False)
        self.second.weight = self.first.weight
        self.head = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.first(self.flat(x))).relu()
        return self.head(self.second(x))


class Reparametrized(NormMethod):
    """Holds weights in another way."""

    replaces = frozenset({"norm", "weight"})

    def norm(self, slot):
        return nn.Identity()

    def weight(self, layer):
        return nn.Identity()


@pytest.mark.parametrize("init", [MODULE, "he_normal"])
def test_tied_weights_stay_tied_and_are_drawn_alike(plan, init):
    check_all(plan(Tied, init))
    nets = [made(plan(Tied, init), norm) for norm in ("original", "rms")]
    for net in nets:
        assert net.module.first.weight is net.module.second.weight
    assert nets[0].module.first.weight.equal(nets[1].module.first.weight)


def test_a_tied_weight_is_not_held_in_another_way(plan):
    method = Reparametrized(NormPolicy(), Reparametrized.Options())
    told = problem_of(plan(Tied), found(plan(Tied)), method, 8)
    assert told == (
        "it holds the weights of layers in another way, and that of first is shared with another "
        "module"
    )


class Parametrized(Plain):
    """A weight norm of each kind, and a norm whose own scale is parametrized."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.utils.parametrizations.weight_norm(self.conv)
        self.spectral = nn.utils.parametrizations.spectral_norm(nn.Conv2d(8, 8, 1))
        self.own = nn.BatchNorm2d(8)
        nn.utils.parametrize.register_parametrization(self.own, "weight", nn.Softplus())

    def body(self, x: Tensor) -> Tensor:
        return super().body(x) + self.own(self.spectral(x.expand(-1, 8, -1, -1)))


def test_parametrized_weights_are_kept_and_so_is_a_norm_that_has_one(plan):
    check_all(plan(Parametrized))
    anatomy = found(plan(Parametrized))
    assert [slot.path for slot in anatomy.slots] == ["norm"]
    assert {k.path: k.reason for k in anatomy.kept} == {
        "own": "its own parameters are parametrized"
    }
    method = Reparametrized(NormPolicy(), Reparametrized.Options())
    told = problem_of(plan(Parametrized), anatomy, method, 8)
    assert told is not None
    assert told.endswith("that of conv is parametrized already")


class Frozen(Plain):
    """A part of it stays as it is, and so does the norm in it that has no parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1), nn.InstanceNorm2d(1)
        ).requires_grad_(False)

    def body(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.stem(x)
        return super().body(x)


def test_what_is_frozen_stays_as_it_is(plan):
    check_all(plan(Frozen))
    anatomy = found(plan(Frozen))
    assert [slot.path for slot in anatomy.slots] == ["norm"]
    frozen = "it is frozen: no parameter here requires a gradient"
    assert {k.path: k.reason for k in anatomy.kept} == {"stem.1": frozen, "stem.2": frozen}
    method = Reparametrized(NormPolicy(), Reparametrized.Options())
    told = problem_of(plan(Frozen), anatomy, method, 8)
    assert told == "it holds the weights of layers in another way, and that of stem.0 is frozen"


class Compiled(Plain):
    """A part of it is compiled, with a norm that keeps statistics and an in-place activation."""

    def __init__(self) -> None:
        super().__init__()
        parts = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1), nn.ReLU(inplace=True)
        self.stem = torch.jit.script(nn.Sequential(*parts))

    def body(self, x: Tensor) -> Tensor:
        return super().body(self.stem(x))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_is_compiled_stays_as_it_is(plan):
    check_all(plan(Compiled))
    anatomy = found(plan(Compiled))
    assert [slot.path for slot in anatomy.slots] == ["norm"]
    (kept,) = anatomy.kept
    assert (kept.path, kept.kind) == ("stem.1", "BatchNorm2d")
    assert kept.reason == "it is compiled by torch.jit, in which nothing can be exchanged"
    net = made(plan(Compiled), "original").module
    assert [type(k).__name__ for k in keepers(net)] == ["BatchNorm2d"]
    with pytest.raises(TypeError, match=r"compiled by torch\.jit.*give the one that was compiled"):
        Foreign.build.__func__(
            type("Whole", (Foreign,), {"make": lambda *_: net.stem}),
            ForeignOptions(), ModelSettings(), (8, 8, 1), 10,
        )  # fmt: skip


class Growing(Plain):
    """Keeps what it has computed, which has another size for another batch."""

    def body(self, x: Tensor) -> Tensor:
        self.register_buffer("positions", torch.zeros(len(x), 1, 1, 1))
        return super().body(x + self.positions)


def test_buffers_may_be_made_and_grow_in_the_forward_pass(plan):
    check_all(plan(Growing))


class Buffered(Plain):
    """Counts its calls, keeps a mean of its inputs, and draws a buffer as it is made."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.long))
        self.register_buffer("mean", torch.zeros(1, 1, 8, 8))
        self.register_buffer("noise", torch.randn(8, 1, 1))

    def body(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.mean.lerp_(x.mean(0, keepdim=True), 0.5)
        return super().body(x) + self.noise


def test_looking_leaves_buffers_as_they_were_and_all_norms_have_the_same(plan):
    check_all(plan(Buffered))
    nets = [made(plan(Buffered), norm) for norm in ("original", "batch", "none")]
    for net in nets:
        assert net.module.calls == 0
        assert not net.module.mean.any()
        assert net.module.noise.equal(nets[0].module.noise)
    assert not made(plan(Buffered), "none", seed=1).module.noise.equal(nets[0].module.noise)


class Controlled(Plain):
    """What it does depends on values and on the mode; a norm is for training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.other = nn.BatchNorm2d(8)
        self.training_only = nn.BatchNorm2d(8)
        self.unused = nn.LayerNorm(8)

    def body(self, x: Tensor) -> Tensor:
        z = self.conv(x)
        if bool(x.abs().max() > 1e6):
            return self.other(z)
        z = self.norm(z)
        if self.training:
            z = self.training_only(z)
        return z.relu() if z.shape[0] > 1 else z


def test_norms_that_are_not_called_are_kept_and_it_is_said_why(plan):
    names = ("other", "unused")
    silent = frozenset(f"{name}.{w}" for name in names for w in ("weight", "bias"))
    check_all(plan(Controlled), silent=silent)
    assert {k.path: k.reason for k in found(plan(Controlled)).kept} == {
        "other": "the forward pass never calls it",
        "unused": "the forward pass never calls it",
        "training_only": "it is called in training alone",
    }


class Row(Plain):
    """Two norms in a row."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.GroupNorm(2, 8)

    def body(self, x: Tensor) -> Tensor:
        return self.second(self.norm(self.conv(x))).relu()


def test_norms_in_a_row_are_a_slot_each(plan):
    check_all(plan(Row))
    assert [(s.path, s.producer) for s in found(plan(Row)).slots] == [
        ("norm", "conv"),
        ("second", None),
    ]


class Functional(Plain):
    """A norm that is called as a function."""

    def body(self, x: Tensor) -> Tensor:
        z = super().body(x)
        return F.layer_norm(z, z.shape[1:])


def test_a_norm_called_as_a_function_is_told_with_its_place(plan):
    check_all(plan(Functional))
    (kept,) = found(plan(Functional)).kept
    assert re.fullmatch(r"test_foreign\.py:\d+", kept.path)
    assert kept.kind == "layer_norm: return F.layer_norm(z, z.shape[1:])"
    assert kept.reason == "called as a function, which cannot be exchanged"
