"""Scale norm: an example's vector on a sphere of learned radius."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
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
from normbench.norms.reference import everything


class ScaleNormLayer(Norm):
    """x over its length, times one number. radius: [], a parameter where ``affine`` is on."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, dims: tuple[int, ...], count: int):
        super().__init__(slot, NormPolicy(policy.eps, affine=False))
        self.dims, self.start = dims, math.sqrt(count)
        self.radius = nn.Parameter(torch.tensor(self.start)) if policy.affine else None

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        # Of the square, whose gradient at zero is a number.
        length = wide.square().sum(self.dims, keepdim=True).clamp_min(self.eps**2).sqrt()
        radius = self.start if self.radius is None else self.radius
        return (radius * (wide / length)).to(x.dtype)


@NORMS.register("scale_norm", aliases=("l2", "scalenorm"))
class ScaleNorm(NormMethod):
    """y = g x / max(||x||, eps), with one number g a layer.

    x: [N, F], the length over F; or [N, C, H, W], over C,H,W (axes: chw) or over C at each position
    (axes: c). g (``radius``) starts at the root of how many numbers the length is of, so that at
    the start it is RMS norm. Nguyen & Salazar 2019, arXiv:1910.05895.
    """

    @dataclass(frozen=True)
    class Options:
        """axes: chw or c, for this norm only; None follows the experiment's policy."""

        axes: Axes | None = None

    traits = Traits(
        statistics="example",
        centered=False,
        formula="g x / max(||x||, eps)",
        year=2019,
        paper="Nguyen & Salazar, arXiv:1910.05895",
        eps="clamped",
        train_differs=False,
        convention="eps is the least length (1e-5 in the paper), nothing is added; one gain a "
        "layer, no shift",
        reference="tnq177/transformers_without_tears layers.py: equal at equal eps",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        whole = slot.has_positions and self.axes(slot) == "chw"
        dims = (1, 2, 3) if whole else (1,)
        return ScaleNormLayer(slot, self.policy, dims, self.group_size(slot) or slot.features)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        over = everything(x, self.axes(slot))
        length = np.maximum(np.sqrt((x**2).sum(over, keepdims=True)), self.policy.eps)
        count = math.prod(x.shape[axis] for axis in over)
        return values.get("radius", np.float64(math.sqrt(count))) * x / length
