"""A deep plain convolutional network without skip connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le
from torch import nn

from normbench.models.base import MODELS, Architecture, Block, Chain, ImageShape, ModelSettings


@MODELS.register("cnn")
class CNN(Architecture):
    """Deep plain CNN: 3x3 convolutions in stages, each stage at half the size and twice the width.

    The layers are spread over the stages as evenly as they can be, the earlier stages taking the
    remainder; the first layer of every stage but the first has stride 2. Global average pooling
    leads to the head.
    """

    @dataclass(frozen=True)
    class Options:
        """depth: convolutions in all; stages: sizes; width: channels of the first stage."""

        depth: Annotated[int, Ge(4), Le(60)] = 9
        stages: Annotated[int, Ge(1), Le(6)] = 3
        width: Annotated[int, Ge(1), Le(2048)] = 32

    @classmethod
    def build(
        cls, options: Any, settings: ModelSettings, image_shape: ImageShape, num_classes: int
    ) -> nn.Module:
        if options.depth < options.stages:
            raise ValueError(f"{options.stages} stages need at least {options.stages} layers")
        side, channels = min(image_shape[:2]), image_shape[2]
        each, extra = divmod(options.depth, options.stages)
        blocks: list[Block] = []
        for stage in range(options.stages):
            if stage:
                if side < 2:
                    raise ValueError(
                        f"{options.stages} stages halve a {image_shape[0]}x{image_shape[1]} image "
                        f"{options.stages - 1} times, which leaves nothing to halve"
                    )
                side = (side + 1) // 2
            width = options.width * 2**stage
            for layer in range(each + (stage < extra)):
                stride = 2 if stage and not layer else 1
                conv = nn.Conv2d(channels, width, 3, stride=stride, padding=1, bias=settings.bias)
                blocks.append(Block(conv, width, settings))
                channels = width
        return Chain(blocks, nn.Linear(channels, num_classes, bias=settings.bias))
