"""Dynamic erf: another squashing function in the place of a norm."""

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


class DynamicErfLayer(Norm):
    """The error function of a line. alpha, offset: []."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, alpha: float):
        super().__init__(slot, policy)
        self.alpha = nn.Parameter(torch.tensor(alpha))
        self.offset = nn.Parameter(torch.tensor(0.0))

    def forward(self, x: Tensor) -> Tensor:
        return self.scaled(torch.erf(self.alpha * high(x) + self.offset)).to(x.dtype)


@NORMS.register("derf", aliases=("dynamic_erf",))
class Derf(NormMethod):
    """y = erf(alpha x + s) * gamma + beta, each number by itself.

    x: [N, F] or [N, C, H, W]; alpha, s (``offset``): one number a layer; gamma, beta: [F] or [C].
    2025, arXiv:2512.10938.
    """

    @dataclass(frozen=True)
    class Options:
        """alpha: where it starts, on which it depends whether a deep network trains."""

        alpha: Annotated[float, Gt(0)] = 0.5

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        formula="erf(alpha x + s) * gamma + beta",
        year=2025,
        paper="arXiv:2512.10938",
        eps="none",
        train_differs=False,
        convention="alpha .5 and s 0 at the start, no decay on any of its parameters",
        reference="zlab-princeton/Derf dynamic_erf.py: equal; its GPT-2 starts alpha at 1",
    )
    rules = MappingProxyType({n: Rule(decay=False) for n in ("alpha", "offset", "weight", "bias")})

    def norm(self, slot: NormSlot) -> nn.Module:
        return DynamicErfLayer(slot, self.policy, self.options.alpha)

    def law(self, slot: NormSlot) -> Law:
        return Law("none", centered=False, gate=("erf", self.options.alpha, 1.0))

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        line = values["alpha"] * x + values["offset"]
        return affine(np.vectorize(math.erf)(line), values)
