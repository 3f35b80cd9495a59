"""Ghost batch normalization: statistics over parts of the batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from annotated_types import Ge
from torch import Tensor, nn

from normbench.norms.base import NORMS, Floats, NormPolicy, NormSlot, Traits, high
from normbench.norms.laws import Law
from normbench.norms.reference import affine, centred, divided, kept, positions
from normbench.norms.running import BatchMethod, RunningNorm, against


class GhostBatchNormLayer(RunningNorm):
    """Batch norm of each of the parts; a batch that they do not divide has a smaller last one."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, size: int, interleaved: bool):
        super().__init__(slot, policy)
        self.size, self.interleaved = size, interleaved

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        if not self.training:
            y = (wide - against(self.running_mean, x)) * torch.rsqrt(
                against(self.running_var, x) + self.eps
            )
            return self.scaled(y).to(x.dtype)
        count = max(1, -(-len(x) // self.size))
        parts = (
            [wide[at::count] for at in range(count)]
            if self.interleaved
            else list(wide.split(self.size))
        )
        normalized, means, variances = [], [], []
        for part in parts:
            mean, var = self.moments(part)
            normalized.append(
                (part - against(mean, part)) * torch.rsqrt(against(var, part) + self.eps)
            )
            n = part.numel() // part.shape[1]
            means.append(mean)
            variances.append(var * (n / max(n - 1, 1)))
        n = x.numel() // x.shape[1]
        unbiased = torch.stack(variances).mean(0) * ((n - 1) / n)  # as ``gather`` takes it
        self.gather(x, torch.stack(means).mean(0), unbiased)
        y = torch.cat(normalized)
        if self.interleaved:
            order = torch.arange(len(x), device=x.device)
            y = y[torch.cat([order[at::count] for at in range(count)]).argsort()]
        return self.scaled(y).to(x.dtype)


@NORMS.register("ghost", aliases=("ghost_batch", "gbn"))
class GhostBatchNorm(BatchMethod):
    """Batch norm of each part of ``size`` examples of the batch by itself.

    x: [N, F] or [N, C, H, W]; gamma, beta: [F] or [C]. In evaluation running statistics stand in,
    which gather the mean of those of the parts. Hoffer, Hubara & Soudry 2017, arXiv:1705.08741.
    """

    @dataclass(frozen=True)
    class Options:
        """size: examples of a part; the last one may be smaller.

        interleaved: example i is of part i modulo how many there are, not of the i-th neighbours.
        """

        size: Annotated[int, Ge(1)] = 32
        interleaved: bool = False

    traits = Traits(
        statistics="batch",
        centered=True,
        plain=False,
        over="a part of the batch",
        formula="(x - mean) / sqrt(var + eps) * gamma + beta, over a part of the batch",
        year=2017,
        paper="Hoffer, Hubara & Soudry, arXiv:1705.08741",
        eps="inside",
        state="running mean and variance",
        train_differs=True,
        convention="parts of neighbours; running statistics gather the mean over the parts, once a "
        "batch",
        reference="davidcpage/cifar10-fast torch_backend.py interleaves the parts and keeps "
        "running statistics for each, averaged for evaluation",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        return GhostBatchNormLayer(slot, self.policy, self.options.size, self.options.interleaved)

    def law(self, slot: NormSlot) -> Law:
        return Law("batch", centered=True, size=self.options.size)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        eps = self.policy.eps
        if not training:
            mean, var = (kept(values, f"running_{name}", x) for name in ("mean", "var"))
            return affine((x - mean) / np.sqrt(var + eps), values)
        count = -(-len(x) // self.options.size)
        which = np.arange(len(x))
        which = which % count if self.options.interleaved else which // self.options.size
        y, over = np.empty_like(x), (0, *positions(x))
        for part in range(count):
            y[which == part] = divided(centred(x[which == part], over), over, eps)
        return affine(y, values)

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        smallest = min(batch_size, self.options.size)
        if not self.options.interleaved:
            smallest = batch_size % self.options.size or smallest
        elif batch_size > self.options.size:
            smallest = batch_size // -(-batch_size // self.options.size)
        reason = super().problem(slot, smallest)
        if reason and batch_size > 1:
            return (
                f"a batch of {batch_size} leaves a part of one example, of which there is nothing "
                "to average (take another size)"
            )
        return reason
