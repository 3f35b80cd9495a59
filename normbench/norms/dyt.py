"""Dynamic tanh: a squashing function in the place of a norm."""

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


class DynamicTanhLayer(Norm):
    """tanh of the input times one learned number. alpha: []."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, alpha: float):
        super().__init__(slot, policy)
        self.alpha = nn.Parameter(torch.tensor(alpha))

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(torch.tanh(self.alpha * high(x))).to(x.dtype)


@NORMS.register("dyt", aliases=("dynamic_tanh",))
class DyT(NormMethod):
    """y = tanh(alpha x) * gamma + beta, each number by itself.

    x: [N, F] or [N, C, H, W]; alpha: one number a layer; gamma, beta: [F] or [C]. Zhu, Chen, He,
    LeCun & Liu 2025, arXiv:2503.10622.
    """

    @dataclass(frozen=True)
    class Options:
        """alpha: where it starts, on which it depends whether a deep network trains."""

        alpha: Annotated[float, Gt(0)] = 0.5

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        formula="tanh(alpha x) * gamma + beta",
        year=2025,
        paper="Zhu, Chen, He, LeCun & Liu, arXiv:2503.10622",
        eps="none",
        train_differs=False,
        convention="alpha .5 at the start, no decay on any of its parameters",
        reference="jiachenzhu/DyT dynamic_tanh.py: equal; its LLaMA has no shift, and an alpha by "
        "position (attention, feed-forward, last)",
    )
    rules = MappingProxyType(
        {"alpha": Rule(decay=False), "weight": Rule(decay=False), "bias": Rule(decay=False)}
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        return DynamicTanhLayer(slot, self.policy, self.options.alpha)

    def law(self, slot: NormSlot) -> Law:
        return Law("none", centered=False, gate=("tanh", self.options.alpha, 1.0))

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        return affine(1 - 2 / (np.exp(2 * values["alpha"] * x) + 1), values)
