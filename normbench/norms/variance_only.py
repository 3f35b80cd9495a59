"""Variance-only batch normalization: rescaling over the batch, without centring."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, Floats, NormPolicy, NormSlot, Traits, high
from normbench.norms.laws import Law
from normbench.norms.reference import affine, centred, kept, positions
from normbench.norms.running import BatchMethod, RunningNorm, against


class VarianceOnlyNormLayer(RunningNorm):
    """x over its standard deviation over the batch, its mean kept."""

    def __init__(self, slot: NormSlot, policy: NormPolicy):
        super().__init__(slot, policy, mean=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            _, var = self.moments(x)
            self.gather(x, None, var)
        else:
            var = self.running_var
        return self.scaled(high(x) * torch.rsqrt(against(var, x) + self.eps)).to(x.dtype)


@NORMS.register("variance_only", aliases=("variance_only_batch", "variance_norm"))
class VarianceOnlyBatchNorm(BatchMethod):
    """y = x / sqrt(var + eps) * gamma + beta, over the batch, per feature or channel.

    The variance is about the mean, which is not subtracted. x: [N, F] or [N, C, H, W]; gamma,
    beta: [F] or [C]. In evaluation the running variance stands in. Lubana, Dick & Tanaka 2021,
    arXiv:2106.05956.
    """

    traits = Traits(
        statistics="batch",
        centered=False,
        plain=False,
        over="the batch, of the variance alone",
        formula="x / sqrt(var + eps) * gamma + beta, over the batch",
        year=2021,
        paper="Lubana, Dick & Tanaka, arXiv:2106.05956",
        eps="inside",
        state="running variance",
        train_differs=True,
        convention="biased variance about the mean in training, unbiased in the running one; "
        "momentum is the weight of the newest batch",
        reference="EkdeepSLubana/BeyondBatchNorm VarianceNorm: the same formula",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        return VarianceOnlyNormLayer(slot, self.policy)

    def law(self, slot: NormSlot) -> Law:
        return Law("batch", centered=False, mixture=(0.0, 0.0, 1.0, 0.0))

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        over = (0, *positions(x))
        var = (centred(x, over) ** 2).mean(over, keepdims=True)
        var = var if training else kept(values, "running_var", x)
        return affine(x / np.sqrt(var + self.policy.eps), values)
