"""What an architecture is, and the block that the plain ones are chains of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from normbench.models.activations import ACTIVATIONS
from normbench.models.trace import NormSite
from normbench.registry import Registry

Placement = Literal["pre", "post"]
ImageShape = tuple[int, int, int]
"""Height, width, channels."""


@dataclass(frozen=True)
class ModelSettings:
    """What all built-in architectures share.

    placement: ``pre`` is linear -> norm -> activation, ``post`` is linear -> activation -> norm.
    bias: whether Linear and Conv layers carry a bias, under every norm alike.
    """

    activation: str = "relu"
    init: str = "he_normal"
    bias: bool = True
    placement: Placement = "pre"

    def make_activation(self) -> nn.Module:
        """A module of its own."""
        return ACTIVATIONS[self.activation]()


@dataclass(frozen=True)
class NoOptions:
    """No options."""


class Architecture:
    """How to build one kind of network, with a ``NormSite`` wherever a norm belongs.

    Subclasses register in ``MODELS`` and declare ``Options`` (a frozen dataclass with a default for
    each option) and ``layout`` (what a batch looks like: "flat" [N, F] or "image" [N, C, H, W]).

    open: whether the network is another's, which the config's activation, bias and placement do not
    reach, and whose parameters its own constructor draws. in_order: whether its parts are called
    one after another, in the order in which they were made, which theory of residual networks
    takes for granted.
    """

    layout: ClassVar[Literal["flat", "image"]] = "image"
    open: ClassVar[bool] = False
    in_order: ClassVar[bool] = False
    Options: ClassVar[type] = NoOptions

    @classmethod
    def build(
        cls, options: Any, settings: ModelSettings, image_shape: ImageShape, num_classes: int
    ) -> nn.Module:
        """The network with placeholders, for images of this shape (H, W, C).

        Raises ValueError with a sentence when these options cannot work on such images.
        """
        raise NotImplementedError

    @classmethod
    def drawn(cls, network: nn.Module) -> Mapping[str, float]:
        """Parameters beside Linear and Conv that are drawn -> their standard deviation."""
        return {}


MODELS: Registry[type[Architecture]] = Registry("model", "normbench.models.kinds")


def one_order(kind: str, settings: ModelSettings, instead: str = "") -> None:
    """Raise ValueError where the config places norms that stand where this kind has them."""
    if settings.placement != "pre":
        remedy = f" (it has {instead})" if instead else ""
        raise ValueError(f"placement is for mlp and cnn; {kind} has its own order{remedy}")


def patches(image_shape: ImageShape, side: int) -> int:
    """How many square patches an image is cut into. Raises ValueError where pixels are left."""
    height, width, _ = image_shape
    if height % side or width % side:
        fits = [s for s in range(1, min(height, width) + 1) if not height % s and not width % s]
        known = ", ".join(map(str, fits))
        raise ValueError(
            f"patches of {side}x{side} do not cut a {height}x{width} image evenly; patch: {known}"
        )
    return height // side * (width // side)


class Block(nn.Module):
    """Linear or Conv, norm and activation, in the order of ``placement``."""

    def __init__(self, linear: nn.Module, features: int, settings: ModelSettings):
        super().__init__()
        self.linear = linear
        self.norm: nn.Module = NormSite(features)
        self.activation = settings.make_activation()
        self.placement = settings.placement

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        if self.placement == "pre":
            return self.activation(self.norm(z))
        return self.norm(self.activation(z))


class Chain(nn.Module):
    """A chain of blocks and a linear head. Neither the input nor the head is normalized."""

    def __init__(self, blocks: Sequence[Block], head: nn.Linear):
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of [N, F], or of [N, C, H, W] averaged over its positions."""
        for block in self.blocks:
            x = block(x)
        return self.head(x if x.ndim == 2 else x.mean((2, 3)))
