"""Batch normalization: statistics per feature across the mini-batch."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, Floats, Norm, NormMethod, NormPolicy, NormSlot, Traits
from normbench.norms.kernels import batch_norm
from normbench.norms.reference import affine, centred, divided, kept, positions


class BatchNormLayer(Norm):
    """Batch norm with running statistics. running_mean, running_var: [features]."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, slot: NormSlot, policy: NormPolicy):
        super().__init__(slot, policy)
        self.momentum = policy.momentum
        self.register_buffer("running_mean", torch.zeros(slot.features))
        self.register_buffer("running_var", torch.ones(slot.features))

    def forward(self, x: Tensor) -> Tensor:
        return batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )


@NORMS.register("batch", aliases=("batchnorm", "bn"))
class BatchNorm(NormMethod):
    """y = (x - mean) / sqrt(var + eps) * gamma + beta, over the batch, per feature or channel.

    x: [N, F], statistics over N; or [N, C, H, W], statistics over N,H,W. gamma, beta: [F] or [C].
    The variance is the biased one in training; in evaluation running averages stand in for both
    (the running variance gathers the unbiased one). Ioffe & Szegedy 2015, arXiv:1502.03167.
    """

    traits = Traits(
        statistics="batch",
        centered=True,
        formula="(x - mean) / sqrt(var + eps) * gamma + beta, over the batch",
        year=2015,
        paper="Ioffe & Szegedy, arXiv:1502.03167",
        state="running mean and variance",
        train_differs=True,
        convention="eps inside the root; biased variance in training, unbiased in the running one; "
        "momentum is the weight of the newest batch",
        reference="torch.nn.BatchNorm2d: equal at equal eps",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        return BatchNormLayer(slot, self.policy)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        if training:
            over = (0, *positions(x))
            return affine(divided(centred(x, over), over, self.policy.eps), values)
        mean, var = (kept(values, f"running_{name}", x) for name in ("mean", "var"))
        return affine((x - mean) / np.sqrt(var + self.policy.eps), values)

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        if batch_size * slot.positions == 1:
            return (
                "batch norm takes its statistics across the batch; with batch size 1 there is "
                "nothing to average (use layer, rms or group, or a batch size of 2 or more)"
            )
        return None
