"""L1 batch normalization: the mean absolute deviation in the place of the standard deviation."""

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, Floats, NormPolicy, NormSlot, Traits, high
from normbench.norms.laws import Law
from normbench.norms.reference import affine, centred, kept, positions
from normbench.norms.running import BatchMethod, RunningNorm, against, move

GAUSSIAN = math.sqrt(math.pi / 2)
"""Standard deviation over mean absolute deviation, of a Gaussian."""


class L1BatchNormLayer(RunningNorm):
    """Batch norm by mean absolute deviations. running_scale: [features], of them."""

    running_scale: Tensor

    def __init__(self, slot: NormSlot, policy: NormPolicy):
        super().__init__(slot, policy, var=False)
        self.register_buffer("running_scale", torch.ones(slot.features))

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        if self.training:
            dims = (0, *range(2, x.ndim))
            mean = wide.mean(dims)
            scale = GAUSSIAN * (wide - against(mean, x)).abs().mean(dims)
            self.gather(x, mean, None)
            with torch.no_grad():
                move(self.running_scale, scale, self.momentum)
        else:
            mean, scale = self.running_mean, self.running_scale
        y = (wide - against(mean, x)) / (against(scale, x) + self.eps)
        return self.scaled(y).to(x.dtype)


@NORMS.register("l1_batch", aliases=("l1_batch_norm", "l1bn"))
class L1BatchNorm(BatchMethod):
    """y = (x - mean) / (sqrt(pi/2) mean|x - mean| + eps) * gamma + beta, over the batch.

    x: [N, F] or [N, C, H, W]; gamma, beta: [F] or [C]. In evaluation the running mean and scale
    stand in. Hoffer, Banner, Golan & Soudry 2018, arXiv:1803.01814.
    """

    traits = Traits(
        statistics="batch",
        centered=True,
        plain=False,
        over="the batch, of absolute deviations",
        formula="(x - mean) / (sqrt(pi/2) mean|x - mean| + eps) * gamma + beta, over the batch",
        year=2018,
        paper="Hoffer, Banner, Golan & Soudry, arXiv:1803.01814",
        eps="outside",
        state="running mean and scale",
        train_differs=True,
        convention="eps added to the scale; momentum is the weight of the newest batch",
        reference="eladhoffer/norm_matters lp_norm.py averages the inverse scale, from 0, with the "
        "momentum as the weight of the old value",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        return L1BatchNormLayer(slot, self.policy)

    def law(self, slot: NormSlot) -> Law:
        return Law("batch", centered=True)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        over = (0, *positions(x))
        if training:
            y = centred(x, over)
            scale = np.sqrt(np.pi / 2) * np.abs(y).mean(over, keepdims=True)
        else:
            y, scale = x - kept(values, "running_mean", x), kept(values, "running_scale", x)
        return affine(y / (scale + self.policy.eps), values)
