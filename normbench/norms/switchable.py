"""Switchable normalization: statistics of instance, layer and batch norm, mixed."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, Floats, NormPolicy, NormSlot, Traits, high
from normbench.norms.laws import Law
from normbench.norms.reference import affine, kept, positions
from normbench.norms.running import BatchMethod, RunningNorm, against


class SwitchableNormLayer(RunningNorm):
    """mean_weights, var_weights: [3] or [2], of instance (where there is one), layer, batch."""

    def __init__(self, slot: NormSlot, policy: NormPolicy):
        super().__init__(slot, policy)
        count = 3 if slot.positions > 1 else 2
        self.mean_weights = nn.Parameter(torch.ones(count))
        self.var_weights = nn.Parameter(torch.ones(count))

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        if self.training:
            mean, var = self.moments(x)
            self.gather(x, mean, var)
        else:
            mean, var = self.running_mean, self.running_var
        everything = tuple(range(1, x.ndim))
        moments = [torch.var_mean(wide, everything, correction=0, keepdim=True)]
        moments.append((against(var, x), against(mean, x)))
        if len(self.mean_weights) == 3:
            moments.insert(0, torch.var_mean(wide, (2, 3), correction=0, keepdim=True))
        shape = (len(x), self.features, *[1] * (x.ndim - 2))
        means = torch.stack([m.expand(shape) for _, m in moments], -1)
        variances = torch.stack([v.expand(shape) for v, _ in moments], -1)
        center, spread = (
            means @ self.mean_weights.softmax(0),
            variances @ self.var_weights.softmax(0),
        )
        return self.scaled((wide - center) * torch.rsqrt(spread + self.eps)).to(x.dtype)


@NORMS.register("switchable", aliases=("switch_norm", "sn"))
class SwitchableNorm(BatchMethod):
    """y = (x - sum w_k mean_k) / sqrt(sum w'_k var_k + eps) * gamma + beta.

    k over instance, layer and batch norm (without positions over the latter two); w and w' are
    softmaxes of three learned numbers each, equal at the start. x: [N, F] or [N, C, H, W]; gamma,
    beta: [F] or [C]. Luo, Ren, Peng, Zhang & Li 2019, arXiv:1806.10779.
    """

    traits = Traits(
        centered=True,
        plain=False,
        over="the batch, one example, and the positions of a channel, mixed",
        batch_dependent=True,
        formula="(x - mixed mean) / sqrt(mixed var + eps) * gamma + beta",
        year=2019,
        paper="Luo, Ren, Peng, Zhang & Li, arXiv:1806.10779",
        eps="inside",
        state="running mean and variance",
        train_differs=True,
        convention="biased variances, unbiased in the running one; momentum is the weight of the "
        "newest batch; running averages in evaluation",
        reference="switchablenorms/Switchable-Normalization has the unbiased variance of instance "
        "norm and derives the others from it; its running variance starts at 0",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        return SwitchableNormLayer(slot, self.policy)

    def law(self, slot: NormSlot) -> Law | str:
        if slot.positions > 1:
            return "it mixes statistics over the positions of a channel, of which theory is of none"
        return Law("batch", centered=True, mixture=(0.5, 0.5, 0.5, 0.5))

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        example, batch = (1, *positions(x)), (0, *positions(x))
        moments = [(x.mean(example, keepdims=True), x.var(example, keepdims=True))]
        if training:
            moments.append((x.mean(batch, keepdims=True), x.var(batch, keepdims=True)))
        else:
            moments.append((kept(values, "running_mean", x), kept(values, "running_var", x)))
        if len(values["mean_weights"]) == 3:
            own = positions(x)
            moments.insert(0, (x.mean(own, keepdims=True), x.var(own, keepdims=True)))
        mean, var = np.zeros_like(x), np.zeros_like(x)
        for at, (one_mean, one_var) in enumerate(moments):
            mean += np.exp(values["mean_weights"][at]) * one_mean
            var += np.exp(values["var_weights"][at]) * one_var
        mean /= np.exp(values["mean_weights"]).sum()
        var /= np.exp(values["var_weights"]).sum()
        return affine((x - mean) / np.sqrt(var + self.policy.eps), values)
