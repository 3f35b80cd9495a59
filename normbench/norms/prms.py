"""Partial RMS norm: the root mean square of the first few features stands for that of all."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Gt, Le
from torch import Tensor, nn

from normbench.norms.base import (
    NORMS,
    Axes,
    Floats,
    Norm,
    NormMethod,
    NormPolicy,
    NormSlot,
    Traits,
    high,
)
from normbench.norms.laws import Law
from normbench.norms.reference import affine, everything


class PartialRMSNormLayer(Norm):
    """RMS norm by the first ``count`` features of axis 1."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, count: int, dims: tuple[int, ...]):
        super().__init__(slot, policy, shift=False)
        self.count, self.dims = count, dims

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        square = wide[:, : self.count].square().mean(self.dims, keepdim=True)
        return self.scaled(wide * torch.rsqrt(square + self.eps)).to(x.dtype)


@NORMS.register("prms", aliases=("partial_rms", "prmsnorm"))
class PartialRMSNorm(NormMethod):
    """y = x / sqrt(mean of the first p features' x^2 + eps) * gamma.

    x: [N, F]; or [N, C, H, W], the mean over the first channels and all positions (axes: chw) or
    over them at each position (axes: c). gamma: [F] or [C]; no shift. Zhang & Sennrich 2019,
    arXiv:1910.07467, section 4.
    """

    @dataclass(frozen=True)
    class Options:
        """share: of the features whose mean square is taken, rounded down to one at least.

        axes: chw or c, for this norm only; None follows the experiment's policy.
        """

        share: Annotated[float, Gt(0), Le(1)] = 0.0625
        axes: Axes | None = None

    traits = Traits(
        statistics="example",
        centered=False,
        plain=False,
        over="the first 1/16 of an example's features",
        formula="x / sqrt(mean of the first features' x^2 + eps) * gamma",
        year=2019,
        paper="Zhang & Sennrich, arXiv:1910.07467",
        eps="inside",
        train_differs=False,
        convention="no shift",
        reference="bzhangGo/rmsnorm: its torch file adds eps outside the root",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        whole = slot.has_positions and self.axes(slot) == "chw"
        return PartialRMSNormLayer(
            slot, self.policy, self.count(slot), (1, 2, 3) if whole else (1,)
        )

    def count(self, slot: NormSlot) -> int:
        """How many of the features, the first, the mean square is taken of."""
        return max(1, int(slot.features * self.options.share))

    def law(self, slot: NormSlot) -> Law:
        return Law("example", False, size=self.count(slot), partial=True)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        few = np.take(x, range(self.count(slot)), axis=1)
        over = everything(x, self.axes(slot))
        return affine(x / np.sqrt((few**2).mean(over, keepdims=True) + self.policy.eps), values)
