"""The block every network is built from, and what a network offers to training and probes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

from normbench.errors import ConfigError, Problem
from normbench.models.activations import ACTIVATIONS, HOMOGENEOUS
from normbench.models.init import initialize
from normbench.norms import Method, Site
from normbench.registry import Registry

Placement = Literal["pre", "post"]


@dataclass(frozen=True)
class ModelSettings:
    """What all architectures share.

    placement: ``pre`` is linear -> norm -> activation, ``post`` is linear -> activation -> norm.
    bias: whether Linear and Conv layers carry a bias, under every norm alike.
    """

    activation: str = "relu"
    init: str = "he_normal"
    bias: bool = True
    placement: Placement = "pre"


class Block(nn.Module):
    """Linear or Conv, norm and activation, in the order of ``placement``."""

    def __init__(self, linear: nn.Module, site: Site, method: Method, settings: ModelSettings):
        super().__init__()
        self.linear = method.weight(linear)
        self.norm = method.layer(site)
        self.activation = method.activation(ACTIVATIONS[settings.activation](), site)
        self.placement = settings.placement

    @property
    def weight(self) -> Tensor:
        """W_l, the weight of this layer's Linear or Conv."""
        weight = self.linear.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(self, x: Tensor) -> Tensor:
        z = self.linear(x)
        if self.placement == "pre":
            return self.activation(self._normalized(z))
        return self._normalized(self.activation(z))

    def _normalized(self, x: Tensor) -> Tensor:
        """The norm of x in the type of x: autocast on CUDA makes float32 of some norms alone."""
        y: Tensor = self.norm(x)
        return y.to(x.dtype)


class Network(nn.Module):
    """A chain of blocks and a linear head. Neither the input nor the head is normalized.

    Subclasses register in ``MODELS``, declare ``Options`` (a frozen dataclass with a default for
    each option) and ``layout`` (what a batch looks like: "flat" [N, F] or "image" [N, C, H, W]),
    and build their blocks in ``make_blocks``.

    scale_invariant: whether the output is the same when a hidden layer's weights and biases are
    multiplied by one positive number; None where the method has not declared what it does.
    """

    layout: ClassVar[Literal["flat", "image"]]
    blocks: nn.ModuleList
    head: nn.Linear

    @dataclass(frozen=True)
    class Options:
        """No options."""

    def __init__(
        self,
        options: Any,
        settings: ModelSettings,
        method: Method,
        image_shape: tuple[int, int, int],
        num_classes: int,
    ):
        super().__init__()
        sites = self.sites(options, image_shape)
        self.blocks = nn.ModuleList(self.make_blocks(options, settings, method, image_shape))
        self.head = nn.Linear(sites[-1].features, num_classes, bias=settings.bias)
        self.scale_invariant = _scale_invariant(method, settings)

    @classmethod
    def sites(cls, options: Any, image_shape: tuple[int, int, int]) -> list[Site]:
        """The places of the norms, from input to output, for images of shape (H, W, C).

        Raises ValueError with a sentence when these options cannot work on such images.
        """
        raise NotImplementedError

    @classmethod
    def make_blocks(
        cls,
        options: Any,
        settings: ModelSettings,
        method: Method,
        image_shape: tuple[int, int, int],
    ) -> list[Block]:
        """The hidden layers, from input to output."""
        raise NotImplementedError

    @property
    def layers(self) -> list[Block]:
        """The hidden layers, from input to output."""
        return [block for block in self.blocks if isinstance(block, Block)]

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of a batch in this network's layout."""
        for block in self.blocks:
            x = block(x)
        return self.head(self.pool(x))

    def pool(self, x: Tensor) -> Tensor:
        """[N, F] for the head, from what the last block gives."""
        return x

    def backbone(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters outside the norm layers: bitwise the same under every norm at step 0."""
        inside = {id(p) for block in self.layers for p in block.norm.parameters()}
        return ((name, p) for name, p in self.named_parameters() if id(p) not in inside)

    def backbone_sha256(self) -> str:
        """SHA-256 over the names and bytes of the backbone's parameters."""
        digest = hashlib.sha256()
        for name, parameter in self.backbone():
            digest.update(name.encode() + b"\0")
            digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()


def _scale_invariant(method: Method, settings: ModelSettings) -> bool | None:
    if method.statistics is None or not method.standard_layers:
        return None
    divides = method.statistics != "none"
    return divides and (settings.placement == "pre" or settings.activation in HOMOGENEOUS)


MODELS: Registry[type[Network]] = Registry("model", "normbench.models")


def build(
    kind: str,
    options: Any,
    settings: ModelSettings,
    method: Method,
    image_shape: tuple[int, int, int],
    num_classes: int,
    seed: int,
) -> Network:
    """The network of ``kind`` at step 0 under ``seed``, on the CPU, in float32.

    Raises ConfigError for a parameter that nobody draws: it would start where PyTorch's generator
    happens to stand, another value in every run.
    """
    network = MODELS[kind](options, settings, method, image_shape, num_classes)
    drawn = initialize(network, settings.init, seed)
    # What belongs to the method starts where the method says.
    given = {
        id(p)
        for block in network.layers
        for module in (block.norm, block.activation)
        for p in module.parameters()
    }
    undrawn = [n for n, p in network.named_parameters() if n not in drawn and id(p) not in given]
    if undrawn:
        message = (
            f"the initialization draws the weights of Linear and Conv2d layers, and in {kind} "
            f"nobody draws {', '.join(undrawn)}"
        )
        hint = "put the parameter into a Linear, a Conv2d, or the norm it belongs to"
        raise ConfigError([Problem("model.init", message, hint)])
    return network
