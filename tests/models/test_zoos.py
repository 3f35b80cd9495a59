"""Networks of torchvision and timm, at small size."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest
from networks import batch, fitting, without_gradient

from normbench.errors import ConfigError
from normbench.models import MODELS, ModelSettings
from normbench.models.assemble import anatomy, assemble
from normbench.models.base import ImageShape
from normbench.models.network import Blueprint
from normbench.norms import make_method

CLASSES = 4
COLOUR, LARGER = (32, 32, 3), (64, 64, 3)

needs_timm = pytest.mark.skipif(
    importlib.util.find_spec("timm") is None, reason="timm is not installed: pip install timm"
)

# kind, name, further arguments, images; norms found; whether a training step draws
ZOO: dict[str, tuple[str, dict[str, Any], ImageShape, int, bool]] = {
    "resnet18": ("torchvision", {}, COLOUR, 20, False),
    "mobilenet_v3_small": ("torchvision", {}, COLOUR, 34, True),
    "convnext_tiny": ("torchvision", {}, COLOUR, 23, True),
    "vgg11_bn": ("torchvision", {}, COLOUR, 8, True),
    "swin_t": ("torchvision", {}, COLOUR, 29, True),
    "vit_b_16": ("torchvision", {"image_size": 32}, COLOUR, 25, False),
    "shufflenet_v2_x0_5": ("torchvision", {}, LARGER, 56, False),
}
SMALL_VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 2}
TIMM: dict[str, tuple[str, dict[str, Any], ImageShape, int, bool]] = {
    "resnet18": ("timm", {}, COLOUR, 20, False),
    "vit_tiny_patch16_224": ("timm", SMALL_VIT, COLOUR, 5, False),
    "mobilenetv3_small_050": ("timm", {}, COLOUR, 34, False),
    "convnext_atto": ("timm", {}, COLOUR, 17, False),
}
# Weights of unit variance, or of He's scale beside a skip path, and nothing behind that divides:
# the signal grows by a factor a layer, and overflows in networks as deep as these.
UNDIVIDED = ("weight_standardization", "scaled_weight_standardization")
SOME = {"mobilenet_v3_small": ZOO["mobilenet_v3_small"], "resnet18": ZOO["resnet18"]}


def plan(kind: str, name: str, args: dict[str, Any]) -> Blueprint:
    options = MODELS[kind].Options(name=name, args=args)
    return Blueprint(kind, options, ModelSettings(init="module"))


def check(
    blueprint: Blueprint, image: ImageShape, slots: int, draws: bool, only: tuple[str, ...] = ()
) -> None:
    """Its anatomy is as expected, and it trains under every norm that fits, from one backbone."""
    found = anatomy(blueprint, image, CLASSES)
    assert (len(found.slots), found.draws) == (slots, draws)
    hashes = set()
    for norm in only or fitting(blueprint, image, CLASSES):
        net = assemble(blueprint, make_method(norm), image, CLASSES, 0, 4)
        hashes.add(net.backbone_sha256)
        finite = norm not in UNDIVIDED
        assert not without_gradient(net, batch(net, 4, image), finite=finite), norm
    assert len(hashes) == 1


@pytest.mark.parametrize("name", list(SOME))
def test_a_network_of_torchvision_trains_under_a_norm_of_ours(name):
    kind, args, *expected = SOME[name]
    check(plan(kind, name, args), *expected, only=("original", "none", "rms"))


@pytest.mark.slow
@pytest.mark.parametrize("name", list(ZOO))
def test_networks_of_torchvision_train_under_every_norm_that_fits(name):
    kind, args, *expected = ZOO[name]
    # Of 129 million numbers, drawn anew for every norm.
    few = ("original", "none", "batch", "layer", "rms", "group") if name == "vgg11_bn" else ()
    check(plan(kind, name, args), *expected, only=few)


@needs_timm
def test_a_network_of_timm_trains_under_a_norm_of_ours():
    kind, args, *expected = TIMM["vit_tiny_patch16_224"]
    check(plan(kind, "vit_tiny_patch16_224", args), *expected, only=("original", "none", "rms"))


@pytest.mark.slow
@needs_timm
@pytest.mark.parametrize("name", list(TIMM))
def test_networks_of_timm_train_under_every_norm_that_fits(name):
    kind, args, *expected = TIMM[name]
    check(plan(kind, name, args), *expected)


@needs_timm
def test_a_norm_of_timm_that_carries_an_activation_keeps_it():
    blueprint = plan("timm", "mobilenetv3_small_050", {})
    net = assemble(blueprint, make_method("layer"), COLOUR, CLASSES, 0, 4)
    norm, *_, act = net.module.bn1.children()
    assert (type(norm).__name__, type(act).__name__) == ("LayerNormLayer", "Hardswish")
    assert net.slots[0].activation == "bn1.act"


def test_the_first_convolution_takes_grey_images_too():
    blueprint = plan("torchvision", "mobilenet_v3_small", {})
    assert anatomy(blueprint, (32, 32, 1), CLASSES).output == (2, CLASSES)


def problem(blueprint: Blueprint, image: ImageShape = COLOUR) -> Any:
    with pytest.raises(ConfigError) as caught:
        anatomy(blueprint, image, CLASSES)
    (told,) = caught.value.problems
    return told


def test_a_name_that_torchvision_has_not_is_told_with_one_that_it_has():
    told = problem(plan("torchvision", "resnet19", {})).message
    assert "torchvision has no model 'resnet19'" in told
    assert "resnet18" in told


def test_without_timm_its_networks_say_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    told = problem(plan("timm", "resnet18", {"bn_momentum": 0.1})).message
    assert told == "timm is not installed; pip install timm"


def test_a_network_too_deep_for_small_images_tells_the_layer_and_the_remedy():
    told = problem(plan("torchvision", "alexnet", {}), (16, 16, 3))
    assert told.message.startswith("the network fails in features.")
    assert "on images of 3x16x16" in told.message
    assert "data.resize" in told.hint
