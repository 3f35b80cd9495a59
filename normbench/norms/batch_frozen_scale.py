"""Batch norm as a fast recipe for CIFAR-10 has it: no scale, and a shift that learns faster."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Annotated

import numpy as np
from annotated_types import Gt, Le
from torch import Tensor, nn

from normbench.norms.base import NORMS, Floats, NormPolicy, NormSlot, Rule, Traits, high
from normbench.norms.batch import BatchNormLayer
from normbench.norms.kernels import batch_norm
from normbench.norms.reference import affine, centred, divided, kept, positions
from normbench.norms.running import BatchMethod


class FrozenScaleBatchNormLayer(BatchNormLayer):
    """Batch norm with a shift alone."""

    def __init__(self, slot: NormSlot, policy: NormPolicy):
        super().__init__(slot, policy)
        self.weight = None

    def forward(self, x: Tensor) -> Tensor:
        # Without a weight PyTorch's kernel gives its bias no gradient.
        y = batch_norm(
            high(x),
            self.running_mean,
            self.running_var,
            None,
            None,
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )
        return self.scaled(y).to(x.dtype)


@NORMS.register("batch_frozen_scale", aliases=("airbench_batch", "bn_frozen_scale"))
class FrozenScaleBatchNorm(BatchMethod):
    """y = (x - mean) / sqrt(var + eps) + beta, over the batch: batch norm with its gamma kept at 1.

    x: [N, F] or [N, C, H, W]; beta: [F] or [C], learned at 64 times the rate. The recipe's batch
    norm is not PyTorch's default: the affine policy is part of it. Jordan 2024, arXiv:2404.00498.
    """

    @dataclass(frozen=True)
    class Options:
        """eps, momentum: the recipe's own; null follows the experiment's policy."""

        eps: Annotated[float, Gt(0)] | None = 1e-12
        momentum: Annotated[float, Gt(0), Le(1)] | None = 0.4

    traits = Traits(
        statistics="batch",
        centered=True,
        formula="(x - mean) / sqrt(var + eps) + beta, over the batch",
        year=2024,
        paper="Jordan, arXiv:2404.00498",
        eps="inside",
        state="running mean and variance",
        train_differs=True,
        convention="eps 1e-12; momentum .4, weight of the newest batch; beta at 64 times the "
        "learning rate",
        reference="KellerJordan/cifar10-airbench airbench94.py: equal",
    )
    rules = MappingProxyType({"bias": Rule(rate=64.0)})

    @property
    def own(self) -> NormPolicy:
        """The experiment's policy with the recipe's own values."""
        policy = self.policy
        eps, momentum = self.options.eps or policy.eps, self.options.momentum or policy.momentum
        return replace(policy, eps=eps, momentum=momentum)

    def norm(self, slot: NormSlot) -> nn.Module:
        return FrozenScaleBatchNormLayer(slot, self.own)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        over = (0, *positions(x))
        if training:
            return affine(divided(centred(x, over), over, self.own.eps), values)
        mean, var = (kept(values, f"running_{name}", x) for name in ("mean", "var"))
        return affine((x - mean) / np.sqrt(var + self.own.eps), values)
