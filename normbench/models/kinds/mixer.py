"""An MLP that mixes patches, then features."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Ge, Le
from torch import Tensor, nn

from normbench.models.base import (
    MODELS,
    Architecture,
    ImageShape,
    ModelSettings,
    one_order,
    patches,
)
from normbench.models.residual import Residual
from normbench.models.trace import NormSite

NORM = "layer"


@MODELS.register("mixer")
class Mixer(Architecture):
    """MLP-Mixer: in each block one MLP mixes patches and one mixes features.

    The first is the same for every feature, the second for every patch, each a residual branch
    behind a norm. Tolstikhin et al. 2021, arXiv:2105.01601. Their norm is layer norm, their
    activation gelu (activation: gelu).
    """

    @dataclass(frozen=True)
    class Options:
        """patch: side in pixels, which divides the image's; depth: blocks; width: features of a
        patch; token_width, feature_width: units within the two MLPs.
        """

        patch: Annotated[int, Ge(1), Le(64)] = 4
        depth: Annotated[int, Ge(1), Le(100)] = 6
        width: Annotated[int, Ge(1), Le(4096)] = 128
        token_width: Annotated[int, Ge(1), Le(16384)] = 64
        feature_width: Annotated[int, Ge(1), Le(16384)] = 512

    @classmethod
    def build(
        cls, options: Any, settings: ModelSettings, image_shape: ImageShape, num_classes: int
    ) -> nn.Module:
        one_order("mixer", settings)
        count = patches(image_shape, options.patch)
        return _Network(options, settings, image_shape[2], count, num_classes)


class _Transpose(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """[N, L, C] -> [N, C, L], and back."""
        return x.transpose(1, 2)


def _perceptron(size: int, inner: int, settings: ModelSettings) -> OrderedDict[str, nn.Module]:
    return OrderedDict(
        linear1=nn.Linear(size, inner, bias=settings.bias),
        activation=settings.make_activation(),
        linear2=nn.Linear(inner, size, bias=settings.bias),
    )


class _Network(nn.Module):
    def __init__(
        self, options: Any, settings: ModelSettings, channels: int, count: int, num_classes: int
    ):
        super().__init__()
        width = options.width
        self.embed = nn.Conv2d(channels, width, options.patch, options.patch, bias=settings.bias)
        self.blocks = nn.ModuleList()
        for _ in range(options.depth):
            tokens = OrderedDict[str, nn.Module](
                turn=_Transpose(),
                **_perceptron(count, options.token_width, settings),
                back=_Transpose(),
            )
            features = _perceptron(width, options.feature_width, settings)
            for branch in (tokens, features):
                self.blocks.append(Residual(nn.Sequential(branch), before=NormSite(width, NORM)))
        self.norm: nn.Module = NormSite(width, NORM)
        self.head = nn.Linear(width, num_classes, bias=settings.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W]."""
        x = self.embed(x).flatten(2).transpose(1, 2)  # [N, patches, width]
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))
