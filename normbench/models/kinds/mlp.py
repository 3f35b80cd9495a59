"""A deep multilayer perceptron."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le
from torch import nn

from normbench.models.base import MODELS, Architecture, Block, Chain, ImageShape, ModelSettings


@MODELS.register("mlp")
class MLP(Architecture):
    """Deep MLP: ``depth`` hidden layers of ``width`` units on the flattened image, then a head."""

    layout = "flat"

    @dataclass(frozen=True)
    class Options:
        """depth: hidden layers; width: units in each."""

        depth: Annotated[int, Ge(2), Le(200)] = 20
        width: Annotated[int, Ge(1), Le(16384)] = 256

    @classmethod
    def build(
        cls, options: Any, settings: ModelSettings, image_shape: ImageShape, num_classes: int
    ) -> nn.Module:
        width = options.width
        sizes = [math.prod(image_shape), *[width] * (options.depth - 1)]
        linears = [nn.Linear(size, width, bias=settings.bias) for size in sizes]
        head = nn.Linear(width, num_classes, bias=settings.bias)
        return Chain([Block(linear, width, settings) for linear in linears], head)
