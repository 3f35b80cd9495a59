"""EvoNorm-S0: norm and activation in one, with statistics of one example."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor, nn

from normbench.norms.base import (
    NORMS,
    Floats,
    Norm,
    NormMethod,
    NormPolicy,
    NormSlot,
    Traits,
    high,
    over_positions,
)
from normbench.norms.laws import Law
from normbench.norms.reference import affine, along, in_groups


class EvoNormS0Layer(Norm):
    """x sigmoid(v x) over the standard deviation of its group. v: [features], ones."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, groups: int):
        super().__init__(slot, policy)
        self.groups = groups
        self.v = nn.Parameter(torch.ones(slot.features))

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        groups = wide.reshape(len(x), self.groups, -1)
        inverse = torch.rsqrt(groups.var(2, correction=0, keepdim=True) + self.eps)
        gated = wide * torch.sigmoid(over_positions(self.v, x) * wide)
        y = (gated.reshape(groups.shape) * inverse).reshape(x.shape)
        return self.scaled(y).to(x.dtype)


@NORMS.register("evonorm_s0", aliases=("evonorms0", "evos0"))
class EvoNormS0(NormMethod):
    """y = x sigmoid(v x) / sqrt(var + eps) * gamma + beta, the variance of a group of channels.

    In the place of norm and activation. x: [N, C, H, W], the variance over C/groups channels and
    all positions, or [N, F]; v, gamma, beta: [C]. Liu, Brock, Simonyan & Le 2020,
    arXiv:2004.02967.
    """

    @dataclass(frozen=True)
    class Options:
        """groups: as many as divide the channels, and at most so many."""

        groups: Annotated[int, Ge(1)] = 32

    traits = Traits(
        statistics="example",
        centered=False,
        plain=False,
        over="a group of channels of one example",
        formula="x sigmoid(v x) / sqrt(var of a group + eps) * gamma + beta",
        year=2020,
        paper="Liu, Brock, Simonyan & Le, arXiv:2004.02967",
        eps="inside",
        train_differs=False,
        convention="biased variance, about a mean that is not subtracted; v 1 at the start",
        reference="tensorflow/tpu resnet_model.py: equal at equal eps; users of copies often "
        "replace the norm alone and keep an activation",
    )
    replaces = frozenset({"norm", "activation"})

    def groups(self, slot: NormSlot) -> int:
        """The largest divisor of the channels up to the option."""
        most = min(self.options.groups, slot.features)
        return next(g for g in range(most, 0, -1) if slot.features % g == 0)

    def norm(self, slot: NormSlot) -> nn.Module:
        return EvoNormS0Layer(slot, self.policy, self.groups(slot))

    def activation(self, slot: NormSlot, given: nn.Module) -> nn.Module:
        return nn.Identity()

    def group_size(self, slot: NormSlot) -> int:
        return slot.features // self.groups(slot) * slot.positions

    def law(self, slot: NormSlot) -> Law:
        return Law("example", centered=True, gate=("silu", 1.0, 1.0), raw=True)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        groups = in_groups(x, self.groups(slot))
        deviation = np.sqrt((groups**2).mean(2) - groups.mean(2) ** 2 + self.policy.eps)
        gated = in_groups(x / (1 + np.exp(-along(values["v"], x) * x)), self.groups(slot))
        return affine((gated / deviation[..., None]).reshape(x.shape), values)

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        if self.group_size(slot) == 1:
            return (
                f"{self.groups(slot)} groups of {slot.features} features leave one value a group, "
                "whose variance is zero (set fewer groups)"
            )
        return None
