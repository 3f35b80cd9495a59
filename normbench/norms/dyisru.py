"""Dynamic inverse square root unit: what RMS norm becomes where every number is by itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated

import numpy as np
import torch
from annotated_types import Gt
from torch import Tensor, nn

from normbench.norms.base import (
    NORMS,
    Floats,
    Norm,
    NormMethod,
    NormPolicy,
    NormSlot,
    Rule,
    Traits,
    high,
)
from normbench.norms.laws import Law
from normbench.norms.reference import affine

LEAST = 1e-3
"""Of what is learned under the root, which below zero has none."""


class DynamicISRULayer(Norm):
    """sqrt(features) x / sqrt(spread + x^2). spread: []."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, spread: float):
        super().__init__(slot, policy)
        self.spread = nn.Parameter(torch.tensor(spread))

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        y = math.sqrt(self.features) * wide * torch.rsqrt(self.spread + wide.square())
        return self.scaled(y).to(x.dtype)


@NORMS.register("dyisru", aliases=("dynamic_isru",))
class DyISRU(NormMethod):
    """y = sqrt(C) x / sqrt(beta + x^2) * gamma + shift, each number by itself.

    x: [N, F] or [N, C, H, W]; C: how many features; beta (``spread``): one number a layer, in RMS
    norm the squares of the example's other features; gamma, shift: [F] or [C]. Stollenwerk 2025,
    arXiv:2503.21708.
    """

    @dataclass(frozen=True)
    class Options:
        """spread: where beta starts; null: C, with which inputs of unit variance hardly change."""

        spread: Annotated[float, Gt(0)] | None = None

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        formula="sqrt(C) x / sqrt(beta + x^2) * gamma + shift",
        year=2025,
        paper="Stollenwerk, arXiv:2503.21708",
        eps="none",
        train_differs=False,
        convention=f"the paper trains nothing and fixes no start: here beta starts at C, stays "
        f"above {LEAST:g} and is not decayed",
        reference="no authors' code",
    )
    rules = MappingProxyType({"spread": Rule(low=LEAST, decay=False)})

    def norm(self, slot: NormSlot) -> nn.Module:
        return DynamicISRULayer(slot, self.policy, self.options.spread or float(slot.features))

    def law(self, slot: NormSlot) -> Law:
        spread = self.options.spread or float(slot.features)
        return Law("none", False, gate=("isru", spread**-0.5, slot.features**0.5))

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        y = np.sign(x) * np.sqrt(x.shape[1] / (1 + values["spread"] / x**2))
        return affine(y, values)
