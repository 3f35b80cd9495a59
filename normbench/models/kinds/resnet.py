"""Residual convolutional networks for small images."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.models.base import MODELS, Architecture, ImageShape, ModelSettings, one_order
from normbench.models.residual import Residual
from normbench.models.trace import NormSite

NORM = "batch"
STAGES = 3


class PaddedShortcut(nn.Module):
    """Every ``stride``-th position of [N, C, H, W], zeros for the channels that are new."""

    def __init__(self, channels: int, width: int, stride: int):
        super().__init__()
        self.more, self.stride = width - channels, stride
        self.share = self.more / width  # of the channels that come out

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))


@MODELS.register("resnet")
class ResNet(Architecture):
    """CIFAR ResNet of 6n+2 layers: a stem, three stages of n residual blocks, average pooling.

    Each block has two 3x3 convolutions; the first of the second and third stage halves the size and
    doubles the width. He, Zhang, Ren & Sun 2015, arXiv:1512.03385, section 4.2, and for v2 2016,
    arXiv:1603.05027. Their norm is batch norm, and their convolutions carry no bias (bias: false).
    """

    in_order = True

    @dataclass(frozen=True)
    class Options:
        """depth: 6n+2 layers; width: channels of the first stage; order: v1, convolution, norm,
        activation, the last one behind the sum, or v2, norm, activation, convolution; stem: cifar,
        a 3x3 convolution, or imagenet, a 7x7 one of stride 2 and max pooling; shortcut: where the
        shape changes, A pads with zeros and B is a 1x1 convolution.
        """

        depth: Annotated[int, Ge(8), Le(1202)] = 20
        width: Annotated[int, Ge(1), Le(1024)] = 16
        order: Literal["v1", "v2"] = "v1"
        stem: Literal["cifar", "imagenet"] = "cifar"
        shortcut: Literal["A", "B"] = "A"

    @classmethod
    def build(
        cls, options: Any, settings: ModelSettings, image_shape: ImageShape, num_classes: int
    ) -> nn.Module:
        one_order("resnet", settings, "order: v2")
        if (options.depth - 2) % 6:
            near = max(8, 6 * round((options.depth - 2) / 6) + 2)
            raise ValueError(f"a resnet has 6n+2 layers, as {near} is; got {options.depth}")
        return _Network(options, settings, image_shape[2], num_classes)


class _Network(nn.Module):
    def __init__(self, options: Any, settings: ModelSettings, channels: int, num_classes: int):
        super().__init__()
        width, first = options.width, options.order == "v1"
        cifar = options.stem == "cifar"
        stem: OrderedDict[str, nn.Module] = OrderedDict()
        stem["conv"] = _conv(channels, width, settings, *((3, 1) if cifar else (7, 2)))
        if first:
            stem |= {"norm": NormSite(width, NORM), "activation": settings.make_activation()}
        if not cifar:
            stem["pool"] = nn.MaxPool2d(3, stride=2, padding=1)
        self.stem = nn.Sequential(stem)
        block = _original if first else _pre_activation
        self.blocks = nn.ModuleList()
        into = width
        for stage in range(STAGES):
            for layer in range((options.depth - 2) // 6):
                stride = 2 if stage and not layer else 1
                out = options.width * 2**stage
                self.blocks.append(block(into, out, stride, options.shortcut, settings))
                into = out
        end: OrderedDict[str, nn.Module] = OrderedDict()
        if not first:
            end |= {"norm": NormSite(into, NORM), "activation": settings.make_activation()}
        self.end = nn.Sequential(end)
        self.head = nn.Linear(into, num_classes, bias=settings.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W]."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.end(x).mean((2, 3)))


def _conv(
    into: int, out: int, settings: ModelSettings, size: int = 3, stride: int = 1
) -> nn.Conv2d:
    return nn.Conv2d(into, out, size, stride=stride, padding=size // 2, bias=settings.bias)


def _original(into: int, out: int, stride: int, shortcut: str, settings: ModelSettings) -> Residual:
    branch = OrderedDict(
        conv1=_conv(into, out, settings, stride=stride),
        norm1=NormSite(out, NORM),
        activation=settings.make_activation(),
        conv2=_conv(out, out, settings),
        norm2=NormSite(out, NORM),
    )
    skip: nn.Module | None = None
    if (into, stride) != (out, 1):
        if shortcut == "A":
            skip = PaddedShortcut(into, out, stride)
        else:
            conv = _conv(into, out, settings, 1, stride)
            skip = nn.Sequential(OrderedDict(conv=conv, norm=NormSite(out, NORM)))
    return Residual(nn.Sequential(branch), skip, after=settings.make_activation())


def _pre_activation(
    into: int, out: int, stride: int, shortcut: str, settings: ModelSettings
) -> Residual:
    before = OrderedDict(norm=NormSite(into, NORM), activation=settings.make_activation())
    branch = OrderedDict(
        conv1=_conv(into, out, settings, stride=stride),
        norm=NormSite(out, NORM),
        activation=settings.make_activation(),
        conv2=_conv(out, out, settings),
    )
    skip: nn.Module | None = None
    if (into, stride) != (out, 1):
        padded = shortcut == "A"
        skip = (
            PaddedShortcut(into, out, stride) if padded else _conv(into, out, settings, 1, stride)
        )
    return Residual(nn.Sequential(branch), skip, before=nn.Sequential(before))
