"""Batch renormalization: batch norm corrected towards its running statistics."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn

from normbench.norms.base import NORMS, Floats, NormPolicy, NormSlot, Traits, high
from normbench.norms.laws import Law
from normbench.norms.reference import affine, kept, positions
from normbench.norms.running import BatchMethod, RunningNorm, against, move

Share = Annotated[float, Ge(0), Le(1)]


class BatchRenormLayer(RunningNorm):
    """Batch norm times r plus d. running_std: [features]; r_max, d_max: [], as they stand."""

    running_std: Tensor
    r_max: Tensor
    d_max: Tensor

    def __init__(self, slot: NormSlot, policy: NormPolicy, options: "BatchRenorm.Options"):
        super().__init__(slot, policy, var=False)
        self.momentum = options.momentum or policy.momentum
        self.options = options
        self.register_buffer("running_std", torch.ones(slot.features))
        self.register_buffer("r_max", torch.tensor(1.0))
        self.register_buffer("d_max", torch.tensor(0.0))

    def on_progress(self, share: float) -> None:
        """Widen the bounds linearly, each between its two shares of the budget."""
        o = self.options
        self.r_max.fill_(1 + (o.r_max - 1) * _ramp(share, o.start, o.r_end))
        self.d_max.fill_(o.d_max * _ramp(share, o.start, o.d_end))

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        if not self.training:
            y = (wide - against(self.running_mean, x)) / (against(self.running_std, x) + self.eps)
            return self.scaled(y).to(x.dtype)
        mean, var = self.moments(x)
        std = torch.sqrt(var + self.eps**2) + self.eps  # a root has no slope at zero
        with torch.no_grad():
            kept_std = self.running_std.to(std.dtype) + self.eps
            r = torch.minimum(torch.maximum(std / kept_std, 1 / self.r_max), self.r_max)
            d = (mean - self.running_mean) / kept_std
            d = torch.minimum(torch.maximum(d, -self.d_max), self.d_max)
        y = (wide - against(mean, x)) / against(std, x) * against(r, x) + against(d, x)
        with torch.no_grad():
            move(self.running_mean, mean, self.momentum)
            move(self.running_std, std - self.eps, self.momentum)
        return self.scaled(y).to(x.dtype)


def _ramp(share: float, start: float, end: float) -> float:
    if share <= start:
        return 0.0
    return 1.0 if share >= end else (share - start) / (end - start)


@NORMS.register("renorm", aliases=("batch_renorm", "brn"))
class BatchRenorm(BatchMethod):
    """y = ((x - mean) / std * r + d) * gamma + beta, over the batch.

    r = std / running std within [1/r_max, r_max] and d = (mean - running mean) / running std within
    [-d_max, d_max], without gradient. x: [N, F] or [N, C, H, W]; gamma, beta: [F] or [C]. The
    bounds start at 1 and 0, which is batch norm. Ioffe 2017, arXiv:1702.03275.
    """

    @dataclass(frozen=True)
    class Options:
        """r_max, d_max: the bounds at last.

        start, r_end, d_end: shares of the budget between which they widen, linearly; the paper's
        5,000, 40,000 and 25,000 steps are of 160,000. momentum: null follows the experiment's.
        """

        r_max: Annotated[float, Ge(1)] = 3.0
        d_max: Annotated[float, Ge(0)] = 5.0
        start: Share = 0.03
        r_end: Share = 0.25
        d_end: Share = 0.16
        momentum: Annotated[float, Gt(0), Le(1)] | None = 0.01

    traits = Traits(
        statistics="batch",
        centered=True,
        plain=False,
        formula="((x - mean) / std * r + d) * gamma + beta, over the batch",
        year=2017,
        paper="Ioffe, arXiv:1702.03275",
        eps="outside",
        state="running mean and standard deviation, the bounds",
        train_differs=True,
        gradient="r and d are constants in it",
        convention="eps added to the standard deviation (1e-3 in the paper, here the "
        "experiment's); momentum .01, weight of the newest batch; the bounds widen by shares of "
        "the budget",
        reference="ludvb/batchrenorm counts steps, 5,000 to 40,000 and 25,000: a shorter run is "
        "batch norm throughout",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        return BatchRenormLayer(slot, self.policy, self.options)

    def law(self, slot: NormSlot) -> Law:
        return Law("batch", centered=True)  # the bounds start at 1 and 0

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        eps, over = self.policy.eps, (0, *positions(x))
        run_mean, run_std = kept(values, "running_mean", x), kept(values, "running_std", x) + eps
        if not training:
            return affine((x - run_mean) / run_std, values)
        mean = x.mean(over, keepdims=True)
        std = np.sqrt(x.var(over, keepdims=True) + eps**2) + eps
        r = np.clip(std / run_std, 1 / values["r_max"], values["r_max"])
        d = np.clip((mean - run_mean) / run_std, -values["d_max"], values["d_max"])
        return affine((x - mean) / std * r + d, values)
