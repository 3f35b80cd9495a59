"""Networks that others wrote, in all the ways in which one may write a network."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import Any

import pytest
import torch
from networks import CLASSES, IMAGE, batch, fitting, images, without_gradient
from tiny import experiment
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.errors import ConfigError
from normbench.models import MODELS, ModelSettings
from normbench.models.assemble import anatomy, assemble, problem_of, step_problem
from normbench.models.foreign import ForeignOptions, of_reference
from normbench.models.init import MODULE
from normbench.models.network import Blueprint, Network
from normbench.models.slots import Anatomy
from normbench.norms import NormMethod, NormPolicy, make_method


@pytest.fixture
def plan(monkeypatch):
    """A blueprint of a module's class, as if a config named its file."""

    def of(target: Any, init: str = MODULE, **options: Any) -> Blueprint:
        monkeypatch.setitem(MODELS._items, target.__name__, of_reference(target, "net.py:Net"))
        return Blueprint(target.__name__, ForeignOptions(**options), ModelSettings(init=init))

    return of


def found(blueprint: Blueprint) -> Anatomy:
    return anatomy(blueprint, IMAGE, CLASSES)


def made(blueprint: Blueprint, norm: str, seed: int = 0) -> Network:
    return assemble(blueprint, make_method(norm), IMAGE, CLASSES, seed, 8)


def check_all(blueprint: Blueprint, *, silent: frozenset[str] = frozenset()) -> list[str]:
    """Train it under every norm that fits; all start from one backbone. silent: parameters that
    the network itself gives no gradient to."""
    norms = fitting(blueprint)
    hashes = set()
    for norm in norms:
        net = made(blueprint, norm)
        hashes.add(net.backbone_sha256)
        assert set(without_gradient(net, batch(net, 8))) <= silent, norm
    assert len(hashes) == 1
    return norms


def problem(blueprint: Blueprint) -> Any:
    with pytest.raises(ConfigError) as caught:
        found(blueprint)
    (told,) = caught.value.problems
    return told


class Plain(nn.Module):
    """A convolution, a norm, a head; what differs is in ``body``."""

    def __init__(self, num_classes: int = CLASSES):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, num_classes)

    def body(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.body(x).mean((2, 3)))


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


class InPlace(nn.Module):
    """Everything that can write into its input does."""

    def __init__(self) -> None:
        super().__init__()
        self.norm0 = nn.BatchNorm2d(1)
        self.act0 = nn.SiLU(inplace=True)
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(8)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(8)
        self.act2 = nn.Hardswish(inplace=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.norm1(self.conv(self.act0(self.norm0(x)))))
        y = self.norm2(self.conv2(x))
        y += x
        return self.head(self.act2(y).mean((2, 3)))


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


class Tuple(Plain):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return logits[:, :1], logits


class Dict(Plain):
    def forward(self, x: Tensor) -> Any:
        return {"features": self.body(x), "logits": super().forward(x)}


class BareInEvaluation(Plain):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


@pytest.mark.parametrize(
    ("target", "output"), [(Tuple, 1), (Tuple, -1), (Dict, "logits"), (BareInEvaluation, 0)]
)
def test_logits_are_taken_out_of_a_tuple_or_a_dict(plan, target, output):
    blueprint = plan(target, output=output)
    check_all(blueprint)
    plain = made(plan(Plain), "original").module
    x = images(3)
    assert made(blueprint, "original").module(x).equal(plain(x))


@pytest.mark.parametrize(
    ("target", "options", "path", "message"),
    [
        (Tuple, {}, "model", "the network does not return logits [N, classes]"),
        (BareInEvaluation, {}, "model", "does not return logits [N, classes] in training"),
        (Tuple, {"output": 7}, "model.output", "a tuple, has no 7; it has 2 entries"),
        (Dict, {"output": "x"}, "model.output", "has no 'x'; it has keys 'features', 'logits'"),
        (Tuple, {"output": 0}, "model", "the network gives 1 numbers an image, and the data have"),
        (Plain, {"args": {"num_classes": 7}}, "model", "gives 7 numbers an image"),
    ],
)
def test_logits_that_are_not_there_or_of_the_wrong_width_are_told(
    plan, target, options, path, message
):
    told = problem(plan(target, **options))
    assert told.path == path
    assert message in told.message


class TooDeep(Plain):
    """Halves the image until nothing is left."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Sequential(nn.Conv2d(8, 8, 3, stride=2), nn.Conv2d(8, 8, 5))

    def body(self, x: Tensor) -> Tensor:
        return self.deep(super().body(x))


def test_a_network_that_fails_at_this_image_size_tells_the_layer_and_the_sizes(plan):
    told = problem(plan(TooDeep))
    assert told.path == "model"
    assert told.message.startswith(
        "the network fails in deep.1 (Conv2d), which gets 8x3x3, on images of 1x8x8: RuntimeError:"
    )
    assert "data.resize" in told.hint
    assert "test_foreign.py" in told.hint
    assert "normbench/" not in told.hint


class Raising(Plain):
    def __init__(self, width: int = 3):
        super().__init__()
        raise RuntimeError(f"cannot be {width} wide\nfor many reasons")


def test_a_constructor_that_raises_shows_their_frames_under_one_sentence(plan):
    told = problem(plan(Raising, args={"width": 5}))
    assert told.message == "the network's constructor raises RuntimeError: cannot be 5 wide"
    assert "raise RuntimeError" in told.hint
    assert "normbench/" not in told.hint


def test_an_argument_that_the_constructor_has_not_is_told(plan):
    told = problem(plan(Plain, args={"width": 5}))
    assert "unexpected keyword argument 'width'" in told.message


def test_what_is_no_module_is_refused():
    for target, message in (
        (7, "is no class or function that makes a torch.nn.Module"),
        (nn.Identity(), "is no class or function that makes a torch.nn.Module"),
        (dict, "dict is a class, but not a torch.nn.Module"),
    ):
        with pytest.raises(TypeError, match=message):
            of_reference(target, "net.py:Net")


def returns_a_list(num_classes: int) -> Any:
    return [num_classes]


def test_a_function_that_returns_no_module_is_told(plan):
    assert problem(plan(returns_a_list)).message == "gives list, not a torch.nn.Module"


def sized(num_classes: int, image_shape: tuple[int, int, int]) -> nn.Module:
    height, width, channels = image_shape
    return nn.Sequential(nn.Linear(height * width * channels, 16), nn.LayerNorm(16),
                         nn.ReLU(), nn.Linear(16, num_classes))  # fmt: skip


def test_a_function_gets_the_classes_and_the_shape_and_images_may_be_flat(plan):
    check_all(plan(sized, input="flat"))


def test_norms_are_kept_where_the_config_says_so(plan):
    anatomy = found(plan(InPlace, keep=["norm1", "norm2"]))
    assert [slot.path for slot in anatomy.slots] == ["norm0"]
    assert {k.path: k.reason for k in anatomy.kept} == dict.fromkeys(
        ("norm1", "norm2"), "it is to be kept"
    )


class Transformer(nn.Module):
    """PyTorch's own layer, which has a fast path that passes the norms by."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(8, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.embed(x[:, 0])).mean(1))


def test_the_norms_of_pytorchs_transformer_are_exchanged_in_evaluation_too(plan):
    check_all(plan(Transformer))
    assert [slot.path for slot in found(plan(Transformer)).slots] == ["layer.norm1", "layer.norm2"]
    for norm in ("none", "rms", "layer"):
        net = made(plan(Transformer), norm)
        x = images(4)
        expected = net.module.train()(x)
        with torch.no_grad():
            assert torch.allclose(net.module.eval()(x), expected, atol=1e-5)


class Dropping(Plain):
    """Dropout, as a function."""

    def body(self, x: Tensor) -> Tensor:
        return F.dropout(super().body(x), 0.5, self.training)


def test_a_network_that_draws_random_numbers_is_known_and_not_stacked(plan):
    assert found(plan(Dropping)).draws
    assert not found(plan(Plain)).draws
    for stacked in (True, False):
        told = step_problem(True, make_method("batch"), stacked=stacked, compiled=True)
        assert (told is None) is not stacked


def test_what_a_method_cannot_stand_with_is_told():
    class Shy(NormMethod):
        conflicts = MappingProxyType(
            {"compile": "it breaks the graph", "stack": "it looks at other runs"}
        )

    method = Shy(NormPolicy(), Shy.Options())
    assert step_problem(False, method, stacked=False, compiled=False) is None
    assert step_problem(False, method, stacked=False, compiled=True) == (
        "compile",
        "it breaks the graph",
    )
    assert step_problem(False, method, stacked=True, compiled=True)[0] == "stack"


def test_a_config_does_not_stack_a_network_that_draws_random_numbers(tmp_path):
    file = tmp_path / "dropping.py"
    file.write_text(
        "from torch import nn\n\n\n"
        "def net(num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(),\n"
        "                         nn.Dropout(0.1), nn.Linear(8, num_classes))\n"
    )
    model = f"model={{kind: '{file}:net'}}"
    experiment(model)
    with pytest.raises(ConfigError) as caught:
        experiment(model, "runtime.stack=2")
    (told,) = caught.value.problems
    assert told.path == "runtime.stack"
    assert "draws random numbers" in told.message
