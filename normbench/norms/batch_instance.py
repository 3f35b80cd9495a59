"""Batch-instance normalization: a learned mixture of batch and instance norm, by channel."""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, Floats, NormPolicy, NormSlot, Rule, Traits, high
from normbench.norms.laws import Law
from normbench.norms.reference import affine, along, centred, divided, kept, positions
from normbench.norms.running import BatchMethod, RunningNorm, against


class BatchInstanceNormLayer(RunningNorm):
    """gate times batch norm plus the rest times instance norm. gate: [features], ones."""

    def __init__(self, slot: NormSlot, policy: NormPolicy):
        super().__init__(slot, policy)
        self.gate = nn.Parameter(torch.ones(slot.features))

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        if self.training:
            mean, var = self.moments(x)
            self.gather(x, mean, var)
        else:
            mean, var = self.running_mean, self.running_var
        batch = (wide - against(mean, x)) * torch.rsqrt(against(var, x) + self.eps)
        own_var, own_mean = torch.var_mean(wide, (2, 3), correction=0, keepdim=True)
        instance = (wide - own_mean) * torch.rsqrt(own_var + self.eps)
        gate = against(self.gate, x)
        return self.scaled(gate * batch + (1 - gate) * instance).to(x.dtype)


@NORMS.register("batch_instance", aliases=("bin", "batch_instance_norm"))
class BatchInstanceNorm(BatchMethod):
    """y = (rho * batch norm + (1 - rho) * instance norm) * gamma + beta.

    x: [N, C, H, W]; rho (``gate``), gamma, beta: [C]. rho starts at 1, which is batch norm, and
    after every update is clipped to [0, 1]. Nam & Kim 2018, arXiv:1805.07925.
    """

    traits = Traits(
        centered=True,
        plain=False,
        over="the batch, and the positions of a channel of one example",
        batch_dependent=True,
        formula="(rho * batch norm + (1 - rho) * instance norm) * gamma + beta",
        year=2018,
        paper="Nam & Kim, arXiv:1805.07925",
        eps="inside",
        state="running mean and variance",
        train_differs=True,
        convention="rho learns at 10 times the rate, is clipped to [0, 1] after every update, and "
        "is not decayed",
        reference="hyeonseobnam/Batch-Instance-Normalization: equal at equal eps",
    )
    rules = MappingProxyType({"gate": Rule(rate=10.0, low=0.0, high=1.0, decay=False)})

    def norm(self, slot: NormSlot) -> nn.Module:
        return BatchInstanceNormLayer(slot, self.policy)

    def law(self, slot: NormSlot) -> Law:
        return Law("batch", centered=True)  # the gate starts at 1

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        eps, over = self.policy.eps, (0, *positions(x))
        batch = divided(centred(x, over), over, eps)
        if not training:
            mean, var = (kept(values, f"running_{name}", x) for name in ("mean", "var"))
            batch = (x - mean) / np.sqrt(var + eps)
        instance = divided(centred(x, positions(x)), positions(x), eps)
        gate = along(values["gate"], x)
        return affine(instance + gate * (batch - instance), values)

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        if slot.positions == 1:
            return (
                "half of it is instance norm, which takes its statistics over the positions of an "
                "image, and here there is one at most (use batch, or a CNN)"
            )
        return super().problem(slot, batch_size)
