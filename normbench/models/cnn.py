"""A deep plain convolutional network without skip connections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le
from torch import Tensor, nn

from normbench.models.base import MODELS, Block, ModelSettings, Network
from normbench.norms import Method, Site


@MODELS.register("cnn")
class CNN(Network):
    """Deep plain CNN: 3x3 convolutions in stages, each stage at half the size and twice the width.

    The layers are spread over the stages as evenly as they can be, the earlier stages taking the
    remainder; the first layer of every stage but the first has stride 2. Global average pooling
    leads to the head.
    """

    layout = "image"

    @dataclass(frozen=True)
    class Options:
        """depth: convolutions in all; stages: sizes; width: channels of the first stage."""

        depth: Annotated[int, Ge(4), Le(60)] = 9
        stages: Annotated[int, Ge(1), Le(6)] = 3
        width: Annotated[int, Ge(1), Le(2048)] = 32

    @classmethod
    def sites(cls, options: Any, image_shape: tuple[int, int, int]) -> list[Site]:
        if options.depth < options.stages:
            raise ValueError(f"{options.stages} stages need at least {options.stages} layers")
        height, width, _ = image_shape
        each, extra = divmod(options.depth, options.stages)
        sites: list[Site] = []
        for stage in range(options.stages):
            if stage:
                if min(height, width) < 2:
                    raise ValueError(
                        f"{options.stages} stages halve a {image_shape[0]}x{image_shape[1]} image "
                        f"{options.stages - 1} times, which leaves nothing to halve"
                    )
                height, width = (height + 1) // 2, (width + 1) // 2
            site = Site(options.width * 2**stage, height, width)
            sites += [site] * (each + (stage < extra))
        return sites

    @classmethod
    def make_blocks(
        cls,
        options: Any,
        settings: ModelSettings,
        method: Method,
        image_shape: tuple[int, int, int],
    ) -> list[Block]:
        blocks: list[Block] = []
        height, _, channels = image_shape
        for site in cls.sites(options, image_shape):
            stride = 1 if site.height == height else 2
            conv = nn.Conv2d(
                channels, site.features, 3, stride=stride, padding=1, bias=settings.bias
            )
            blocks.append(Block(conv, site, method, settings))
            assert site.height is not None
            height, channels = site.height, site.features
        return blocks

    def pool(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))
