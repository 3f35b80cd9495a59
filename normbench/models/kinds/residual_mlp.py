"""A deep multilayer perceptron with residual branches."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le
from torch import Tensor, nn

from normbench.models.base import MODELS, Architecture, ImageShape, ModelSettings, one_order
from normbench.models.residual import Residual
from normbench.models.trace import NormSite

NORM = "batch"


@MODELS.register("residual_mlp")
class ResidualMLP(Architecture):
    """Residual MLP on the flattened image: x + linear(activation(linear(norm(x)))) in each block.

    A linear layer leads in; a norm, an activation and the head lead out. Gorishniy, Rubachev,
    Khrulkov & Babenko 2021, arXiv:2106.11959, section 3.2, without its dropout.
    """

    layout = "flat"
    in_order = True

    @dataclass(frozen=True)
    class Options:
        """depth: residual blocks; width: units between them; expansion: times as many within."""

        depth: Annotated[int, Ge(1), Le(200)] = 8
        width: Annotated[int, Ge(1), Le(16384)] = 128
        expansion: Annotated[int, Ge(1), Le(16)] = 2

    @classmethod
    def build(
        cls, options: Any, settings: ModelSettings, image_shape: ImageShape, num_classes: int
    ) -> nn.Module:
        one_order("residual_mlp", settings)
        return _Network(options, settings, math.prod(image_shape), num_classes)


class _Network(nn.Module):
    def __init__(self, options: Any, settings: ModelSettings, inputs: int, num_classes: int):
        super().__init__()
        width, inner, bias = options.width, options.expansion * options.width, settings.bias
        self.stem = nn.Linear(inputs, width, bias=bias)
        self.blocks = nn.ModuleList(
            Residual(
                nn.Sequential(
                    OrderedDict(
                        linear1=nn.Linear(width, inner, bias=bias),
                        activation=settings.make_activation(),
                        linear2=nn.Linear(inner, width, bias=bias),
                    )
                ),
                before=NormSite(width, NORM),
            )
            for _ in range(options.depth)
        )
        self.norm: nn.Module = NormSite(width, NORM)
        self.activation = settings.make_activation()
        self.head = nn.Linear(width, num_classes, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of [N, F]."""
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(self.activation(self.norm(x)))
