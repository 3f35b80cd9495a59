"""BHyT: tanh of an input that was brought to a known scale first."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Gt
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
from normbench.norms.kernels import rms_norm
from normbench.norms.laws import Law
from normbench.norms.reference import affine, divided, everything


class BHyTLayer(Norm):
    """tanh(lambda / kappa * x / RMS(x)). stretch: [], lambda."""

    def __init__(
        self,
        slot: NormSlot,
        policy: NormPolicy,
        dims: tuple[int, ...],
        stretch: float,
        kappa: float,
    ):
        super().__init__(slot, policy, shift=False)
        self.dims, self.kappa = dims, kappa
        self.stretch = nn.Parameter(torch.tensor(stretch))

    def forward(self, x: Tensor) -> Tensor:
        y = rms_norm(high(x), None, self.eps, self.dims)
        return self.scaled(torch.tanh(self.stretch / self.kappa * y)).to(x.dtype)


@NORMS.register("bhyt", aliases=("bounded_hyperbolic_tangent",))
class BHyT(NormMethod):
    """y = tanh(lambda / kappa * x / sqrt(mean(x^2) + eps)) * gamma, over one example's features.

    x: [N, F]; or [N, C, H, W], the mean over C,H,W (axes: chw) or C (axes: c). lambda
    (``stretch``): one number a layer, 2 at the start; kappa 10; gamma: [F] or [C]; no shift. 2026,
    code MLAI-Yonsei/BHyT.
    """

    @dataclass(frozen=True)
    class Options:
        """stretch: lambda at the start; kappa: the bound on deviations that it is divided by.

        axes: chw or c, for this norm only; None follows the experiment's policy.
        """

        stretch: Annotated[float, Gt(0)] = 2.0
        kappa: Annotated[float, Gt(0)] = 10.0
        axes: Axes | None = None

    traits = Traits(
        statistics="example",
        centered=False,
        plain=False,
        formula="tanh(lambda / kappa * x / sqrt(mean(x^2) + eps)) * gamma",
        year=2026,
        paper="BHyT, ICML 2026 (MLAI-Yonsei/BHyT)",
        eps="inside",
        train_differs=False,
        convention="lambda 2, kappa 10; no shift; lambda is learned here, in the code by choice",
        reference="MLAI-Yonsei/BHyT modeling_llama.py: a block's second norm approximates its "
        "mean square by the first one's; here every norm computes its own",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        whole = slot.has_positions and self.axes(slot) == "chw"
        dims = (1, 2, 3) if whole else (1,)
        return BHyTLayer(slot, self.policy, dims, self.options.stretch, self.options.kappa)

    def law(self, slot: NormSlot) -> Law:
        return Law(
            "example", centered=False, gate=("tanh", self.options.stretch / self.options.kappa, 1.0)
        )

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        y = divided(x, everything(x, self.axes(slot)), self.policy.eps)
        return affine(np.tanh(values["stretch"] / self.options.kappa * y), values)
