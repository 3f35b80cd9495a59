"""A deep multilayer perceptron."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le
from torch import nn

from normbench.models.base import MODELS, Block, ModelSettings, Network
from normbench.norms import Method, Site


@MODELS.register("mlp")
class MLP(Network):
    """Deep MLP: ``depth`` hidden layers of ``width`` units on the flattened image, then a head."""

    layout = "flat"

    @dataclass(frozen=True)
    class Options:
        """depth: hidden layers; width: units in each."""

        depth: Annotated[int, Ge(2), Le(200)] = 20
        width: Annotated[int, Ge(1), Le(16384)] = 256

    @classmethod
    def sites(cls, options: Any, image_shape: tuple[int, int, int]) -> list[Site]:
        return [Site(options.width)] * options.depth

    @classmethod
    def make_blocks(
        cls,
        options: Any,
        settings: ModelSettings,
        method: Method,
        image_shape: tuple[int, int, int],
    ) -> list[Block]:
        fan_in, blocks = math.prod(image_shape), []
        for site in cls.sites(options, image_shape):
            linear = nn.Linear(fan_in, site.features, bias=settings.bias)
            blocks.append(Block(linear, site, method, settings))
            fan_in = site.features
        return blocks
