"""SeeDNorm: RMS norm whose gain depends on the example."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

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
    Rule,
    Traits,
    high,
    over_positions,
)
from normbench.norms.kernels import rms_norm
from normbench.norms.laws import Law
from normbench.norms.reference import along, divided, everything


class SeeDNormLayer(Norm):
    """RMS norm times tanh(x . direction) * alpha + weight. direction: zeros; the others: ones."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, dims: tuple[int, ...]):
        super().__init__(slot, policy, shift=False)
        self.dims = dims
        self.alpha = nn.Parameter(torch.ones(slot.features))
        self.direction = nn.Parameter(torch.zeros(slot.features))

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        dot = (wide * over_positions(self.direction, x)).sum(1, keepdim=True)
        gain = torch.tanh(dot) * over_positions(self.alpha, x)
        gain = gain + (1 if self.weight is None else over_positions(self.weight, x))
        return (gain * rms_norm(wide, None, self.eps, self.dims)).to(x.dtype)


@NORMS.register("seednorm", aliases=("seed_norm",))
class SeeDNorm(NormMethod):
    """y = (tanh(x . beta) * alpha + gamma) * x / sqrt(mean(x^2) + eps).

    x: [N, F]; or [N, C, H, W], where x . beta is of the channels at each position and the mean
    square as for RMS norm. alpha, beta (``direction``), gamma: [F] or [C], ones, zeros and ones:
    RMS norm at the start. 2025, arXiv:2510.22777.
    """

    @dataclass(frozen=True)
    class Options:
        """axes: chw or c, for this norm only; None follows the experiment's policy."""

        axes: Axes | None = None

    traits = Traits(
        statistics="example",
        centered=False,
        plain=False,
        formula="(tanh(x . beta) * alpha + gamma) * x / sqrt(mean(x^2) + eps)",
        year=2025,
        paper="arXiv:2510.22777",
        eps="inside",
        train_differs=False,
        convention="weight decay on alpha and beta, as its paper has it, and none on gamma; no "
        "shift",
        reference="no authors' code; swiss-ai/Megatron-LM torch_norm.py: equal at equal eps",
    )
    revision = 1  # nothing of it was decayed
    rules = MappingProxyType(
        {
            "alpha": Rule(decay=True),
            "direction": Rule(decay=True),
            "weight": Rule(decay=False),
        }
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        whole = slot.has_positions and self.axes(slot) == "chw"
        return SeeDNormLayer(slot, self.policy, (1, 2, 3) if whole else (1,))

    def law(self, slot: NormSlot) -> Law:
        return Law("example", centered=False)  # its direction starts at zero

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        dot = np.expand_dims(np.einsum("nc...,c->n...", x, values["direction"]), 1)
        gain = np.tanh(dot) * along(values["alpha"], x)
        gain = gain + along(values.get("weight", np.ones(1)), x)
        return gain * divided(x, everything(x, self.axes(slot)), self.policy.eps)
