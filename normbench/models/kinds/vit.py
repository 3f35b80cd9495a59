"""A vision transformer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn
from torch.nn import functional as F

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
DEVIATION = 0.02
"""Standard deviation of the positions and of the class token at the start."""


@MODELS.register("vit")
class ViT(Architecture):
    """Vision transformer: patches, positions, ``depth`` blocks of attention and MLP, a head.

    norm_position: where the norm of each branch f stands. pre: x + f(norm(x)), with a norm before
    the head, as in Dosovitskiy et al. 2020, arXiv:2010.11929; post: norm(x + f(x)), as in Vaswani
    et al. 2017, arXiv:1706.03762; peri: x + norm(f(norm(x))), with one before the head and one
    behind the embedding, as in Kim et al. 2025, arXiv:2502.02732. Their norm is layer norm, their
    activation gelu (activation: gelu).
    """

    @dataclass(frozen=True)
    class Options:
        """patch: side in pixels, which divides the image's; depth: blocks; heads: of attention;
        width: features of a token; expansion: times as many within the MLP; norm_position: pre,
        post or peri; pool: whether the head sees a class token or the mean of all tokens.
        """

        patch: Annotated[int, Ge(1), Le(64)] = 4
        depth: Annotated[int, Ge(1), Le(100)] = 6
        heads: Annotated[int, Ge(1), Le(64)] = 4
        width: Annotated[int, Ge(1), Le(4096)] = 128
        expansion: Annotated[int, Ge(1), Le(16)] = 4
        norm_position: Literal["pre", "post", "peri"] = "pre"
        pool: Literal["token", "mean"] = "token"

    @classmethod
    def build(
        cls, options: Any, settings: ModelSettings, image_shape: ImageShape, num_classes: int
    ) -> nn.Module:
        one_order("vit", settings, "norm_position: post")
        if options.width % options.heads:
            raise ValueError(f"{options.heads} heads do not divide a width of {options.width}")
        count = patches(image_shape, options.patch)
        return _Network(options, settings, image_shape[2], count, num_classes)

    @classmethod
    def drawn(cls, network: nn.Module) -> Mapping[str, float]:
        return {n: DEVIATION for n, _ in network.named_parameters(recurse=False)}


class Attention(nn.Module):
    """Self-attention of ``heads`` heads: softmax(q k^T / sqrt(width / heads)) v, then ``out``."""

    def __init__(self, width: int, heads: int, bias: bool):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width, bias=bias)
        self.k = nn.Linear(width, width, bias=bias)
        self.v = nn.Linear(width, width, bias=bias)
        self.out = nn.Linear(width, width, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """x: [N, L, C] -> [N, L, C]."""
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in self._projections)
        return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    @property
    def _projections(self) -> tuple[nn.Linear, nn.Linear, nn.Linear]:
        return self.q, self.k, self.v


def _perceptron(width: int, inner: int, settings: ModelSettings) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            linear1=nn.Linear(width, inner, bias=settings.bias),
            activation=settings.make_activation(),
            linear2=nn.Linear(inner, width, bias=settings.bias),
        )
    )


class _Network(nn.Module):
    def __init__(
        self, options: Any, settings: ModelSettings, channels: int, count: int, num_classes: int
    ):
        super().__init__()
        width, where = options.width, options.norm_position
        self.embed = nn.Conv2d(channels, width, options.patch, options.patch, bias=settings.bias)
        self.token: nn.Parameter | None = None
        if options.pool == "token":
            self.token = nn.Parameter(torch.zeros(1, 1, width))
        self.positions = nn.Parameter(torch.zeros(1, count + (options.pool == "token"), width))

        def site(wanted: bool) -> nn.Module:
            return NormSite(width, NORM) if wanted else nn.Identity()

        self.start = site(where == "peri")
        self.blocks = nn.ModuleList()
        for _ in range(options.depth):
            for branch in (
                Attention(width, options.heads, settings.bias),
                _perceptron(width, options.expansion * width, settings),
            ):
                block = Residual(branch, before=site(where != "post"), after=site(where == "post"))
                block.branch_end = site(where == "peri")
                self.blocks.append(block)
        self.norm = site(where != "post")
        self.head = nn.Linear(width, num_classes, bias=settings.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W]."""
        x = self.embed(x).flatten(2).transpose(1, 2)  # [N, patches, width]
        if self.token is not None:
            x = torch.cat([self.token.expand(len(x), -1, -1), x], 1)
        x = self.start(x + self.positions)
        for block in self.blocks:
            x = block(x)
        x = self.norm(x)
        return self.head(x.mean(1) if self.token is None else x[:, 0])
