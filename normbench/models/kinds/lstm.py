"""A recurrent network that reads an image row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import torch
from annotated_types import Ge, Le
from torch import Tensor, nn

from normbench.models.base import MODELS, Architecture, ImageShape, ModelSettings, one_order
from normbench.models.trace import NormSite

NORM = "layer"


@MODELS.register("lstm")
class LSTM(Architecture):
    """LSTM over the rows of the image, from top to bottom; the head sees the last hidden state.

    (f, i, o, g) = norm(W_h h) + norm(W_x x) + b; c' = s(f) c + s(i) tanh(g);
    h' = s(o) tanh(norm(c')), with s the sigmoid: the three norms of Ba, Kiros & Hinton 2016,
    arXiv:1607.06450, equations 20 to 22. The same norms serve at every row, also those that take
    their statistics across the batch. The config's activation has no place in it.
    """

    @dataclass(frozen=True)
    class Options:
        """depth: LSTMs, each reading the states of the one before; width: units of each."""

        depth: Annotated[int, Ge(1), Le(20)] = 1
        width: Annotated[int, Ge(1), Le(4096)] = 128

    @classmethod
    def build(
        cls, options: Any, settings: ModelSettings, image_shape: ImageShape, num_classes: int
    ) -> nn.Module:
        one_order("lstm", settings)
        _, row, channels = image_shape
        return _Network(options, settings.bias, row * channels, num_classes)

    @classmethod
    def drawn(cls, network: nn.Module) -> Mapping[str, float]:
        # Biases start at zero, as those of all other layers.
        return {n: 0.0 for n, _ in network.named_parameters() if n.endswith("gate_bias")}


class Cell(nn.Module):
    """One step of a normalized LSTM of ``width`` units."""

    def __init__(self, inputs: int, width: int, bias: bool):
        super().__init__()
        self.w_x = nn.Linear(inputs, 4 * width, bias=False)
        self.w_h = nn.Linear(width, 4 * width, bias=False)
        self.norm_x: nn.Module = NormSite(4 * width, NORM)
        self.norm_h: nn.Module = NormSite(4 * width, NORM)
        self.norm_c: nn.Module = NormSite(width, NORM)
        self.gate_bias = nn.Parameter(torch.zeros(4 * width)) if bias else None

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        """x: [N, inputs]; state: h and c, each [N, width] -> the next h and c."""
        h, c = state
        z = self.norm_h(self.w_h(h)) + self.norm_x(self.w_x(x))
        if self.gate_bias is not None:
            z = z + self.gate_bias
        forget, take, out, new = z.chunk(4, 1)
        c = forget.sigmoid() * c + take.sigmoid() * new.tanh()
        return out.sigmoid() * self.norm_c(c).tanh(), c


class _Network(nn.Module):
    def __init__(self, options: Any, bias: bool, inputs: int, num_classes: int):
        super().__init__()
        sizes = [inputs, *[options.width] * (options.depth - 1)]
        self.cells = nn.ModuleList(Cell(size, options.width, bias) for size in sizes)
        self.head = nn.Linear(options.width, num_classes, bias=bias)
        self.width = options.width

    def forward(self, x: Tensor) -> Tensor:
        """Logits [N, classes] of images [N, C, H, W]."""
        rows = list(x.transpose(1, 2).flatten(2).unbind(1))  # H of [N, C * W]
        for cell in self.cells:
            h = c = x.new_zeros(len(x), self.width)
            for index, row in enumerate(rows):
                h, c = cell(row, (h, c))
                rows[index] = h
        return self.head(rows[-1])
