"""What networks that others wrote return and refuse, and what they cannot stand with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from foreign_networks import InPlace, Plain, check_all, found, made, problem
from networks import CLASSES, IMAGE, images
from tiny import experiment
from torch import Tensor, nn
from torch.nn import functional as F

import normbench
from normbench import vision
from normbench.errors import ConfigError
from normbench.models.assemble import anatomy, step_problem
from normbench.models.foreign import of_reference
from normbench.norms import NormMethod, NormPolicy, make_method


class Tuple(Plain):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return logits[:, :1], logits


class Dict(Plain):
    def forward(self, x: Tensor) -> Any:
        return {"features": self.body(x), "logits": super().forward(x)}


@dataclass
class Answer:
    features: Tensor
    logits: Tensor


class Fields(Plain):
    def forward(self, x: Tensor) -> Any:
        return Answer(self.body(x), super().forward(x))


class BareInEvaluation(Plain):
    def forward(self, x: Tensor) -> Any:
        logits = super().forward(x)
        return (logits, logits) if self.training else logits


@pytest.mark.parametrize(
    ("target", "output"),
    [(Tuple, 1), (Tuple, -1), (Dict, "logits"), (Fields, "logits"), (BareInEvaluation, 0)],
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
        (Tuple, {"output": 7}, "model.output", "tuple, has no 7; it has 2 entries"),
        (Dict, {"output": "x"}, "model.output", "has no 'x'; it has keys 'features', 'logits'"),
        (Fields, {"output": 1}, "model.output", "no 1; it has fields 'features', 'logits'"),
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


@pytest.mark.parametrize(("target", "where"), [(Dict, "logits"), (Fields, "logits"), (Tuple, 0)])
def test_a_network_that_returns_more_than_logits_is_told_how_to_name_them(plan, target, where):
    assert problem(plan(target)).hint == f"name where they are:  output: {where}"


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
    assert "foreign_networks.py" in told.hint
    assert str(Path(normbench.__file__).parent) not in told.hint


class Raising(Plain):
    def __init__(self, width: int = 3):
        super().__init__()
        raise RuntimeError(f"cannot be {width} wide\nfor many reasons")


def test_a_constructor_that_raises_shows_their_frames_under_one_sentence(plan):
    told = problem(plan(Raising, args={"width": 5}))
    assert told.message == "the network's constructor raises RuntimeError: cannot be 5 wide"
    assert "raise RuntimeError" in told.hint
    assert str(Path(normbench.__file__).parent) not in told.hint


def test_an_argument_that_the_constructor_has_not_is_told(plan):
    told = problem(plan(Plain, args={"width": 5}))
    assert "unexpected keyword argument 'width'" in told.message


class Seeing(Plain):
    """Imports torchvision as it is made."""

    def __init__(self) -> None:
        super().__init__()
        if not vision.mismatched():
            raise RuntimeError("operator torchvision::nms does not exist")


def test_a_constructor_may_import_a_torchvision_that_does_not_match_torch(plan, monkeypatch):
    mended: list[bool] = []
    monkeypatch.setattr(vision, "torchvision", lambda: mended.append(True))
    monkeypatch.setattr(vision, "mismatched", lambda: bool(mended))
    assert found(plan(Seeing)).output == (2, CLASSES)
    assert mended == [True]


class Passing(Plain):
    """Passes on what it does not name."""

    def __init__(self, width: int = 3, **others: Any):
        super().__init__(**others)


class Deaf(Passing):
    def __init__(self, **others: Any):
        super().__init__(**others, num_classes=CLASSES)


def test_the_number_of_classes_is_given_also_where_keywords_are_passed_on(plan):
    assert anatomy(plan(Passing), IMAGE, 7).output == (2, 7)
    assert found(plan(Deaf)).output == (2, CLASSES)
    assert anatomy(plan(Passing, args={"num_classes": 5}), IMAGE, 5).output == (2, 5)


class Aside(Plain):
    """A second head in training alone, which wants larger images."""

    def forward(self, x: Tensor) -> Any:
        return super().forward(F.avg_pool2d(x, 16) if self.training else x)


def test_what_fails_in_training_alone_is_told_before_anything_is_trained(plan):
    told = problem(plan(Aside))
    assert "the network fails in training on images of 1x8x8: RuntimeError" in told.message
    assert "data.resize" in told.hint
    assert "F.avg_pool2d" in told.hint


class OfTen(Plain):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(10)


def test_no_other_size_of_image_is_proposed_where_that_is_not_what_fails(plan):
    told = problem(plan(OfTen))
    assert told.message.endswith("RuntimeError: running_mean should contain 8 elements not 10")
    assert "data.resize" not in told.hint
    told = problem(plan(TooDeep))
    assert told.hint.startswith(
        "the images are 8x8: data.resize (of check: --size) makes them of another size\n"
    )


class Later(Plain):
    """Makes its norm as it is first called."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = None

    def body(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        self.norm = self.norm or nn.BatchNorm2d(x.shape[1])
        return F.relu(self.norm(x))


def test_parameters_made_in_the_forward_pass_are_told(plan):
    told = problem(plan(Later))
    assert told.message == (
        "the network makes norm.weight, norm.bias in its forward pass, where nobody draws or "
        "trains them: make all parameters in its constructor"
    )
    assert not told.hint


class Channels(Plain):
    def forward(self, x: Tensor) -> Any:
        return super().forward(self.norm(x))


def test_frames_of_pytorch_are_none_of_theirs(plan):
    told = problem(plan(Channels))
    assert "fails in norm (BatchNorm2d)" in told.message
    assert "self.norm(x)" in told.hint
    assert "overrides.py" not in told.hint


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
        ("norm1", "norm2"), "asked for"
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
