"""What methods with statistics over the batch share: moments, and averages that evaluation uses."""

from __future__ import annotations

import torch
from torch import Tensor

from normbench.norms.base import Norm, NormMethod, NormPolicy, NormSlot, high, over_positions


class RunningNorm(Norm):
    """A norm with running statistics. running_mean, running_var: [features].

    momentum is the weight of the newest batch; the running variance gathers the unbiased one, as
    PyTorch's batch norm has it.
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, slot: NormSlot, policy: NormPolicy, *, mean: bool = True, var: bool = True):
        super().__init__(slot, policy)
        self.momentum = policy.momentum
        if mean:
            self.register_buffer("running_mean", torch.zeros(slot.features))
        if var:
            self.register_buffer("running_var", torch.ones(slot.features))

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance [C] of a batch, in float32 at least."""
        dims = (0, *range(2, x.ndim))
        var, mean = torch.var_mean(high(x), dims, correction=0)
        return mean, var

    @torch.no_grad()
    def gather(self, x: Tensor, mean: Tensor | None, var: Tensor | None) -> None:
        """Move the running statistics towards those of the batch x (variance: biased)."""
        if mean is not None:
            move(self.running_mean, mean, self.momentum)
        if var is not None:
            n = x.numel() // x.shape[1]
            move(self.running_var, var * (n / max(n - 1, 1)), self.momentum)


def move(average: Tensor, new: Tensor, momentum: float) -> None:
    """average <- (1 - momentum) average + momentum new, in place."""
    average.mul_(1 - momentum).add_(new.detach().to(average.dtype) * momentum)


def against(values: Tensor, x: Tensor) -> Tensor:
    """values [C] against axis 1 of x, in the precision of its statistics."""
    return over_positions(values, x).to(high(x).dtype)


class BatchMethod(NormMethod):
    """A method with statistics over the batch: it needs more than one value of each feature."""

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        if batch_size * slot.positions == 1:
            return (
                "it takes its statistics across the batch, and with batch size 1 there is nothing "
                "to average (use layer, rms or group, or a batch size of 2 or more)"
            )
        return None
