"""Power normalization: running quadratic means in both directions."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor, nn
from torch.autograd import Function

from normbench.norms.base import NORMS, Floats, Norm, NormPolicy, NormSlot, Traits, high
from normbench.norms.laws import Law
from normbench.norms.reference import affine, kept, positions
from normbench.norms.running import BatchMethod, against, move


class _Divide(Function):
    """z = x / sqrt(phi); backward: (g - nu z) / sqrt(phi), nu a running mean of g z."""

    @staticmethod
    def forward(ctx: Any, wide: Tensor, root: Tensor, nu: Tensor, momentum: float) -> Tensor:
        z = wide / root
        ctx.save_for_backward(z, root)
        ctx.nu, ctx.momentum = nu, momentum
        return z

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None, None, None]:
        z, root = ctx.saved_tensors
        nu = ctx.nu.clone()  # a second derivative wants the one from before it moves
        corrected = g - against(nu, z) * z
        dims = (0, *range(2, z.ndim))
        # nu <- nu (1 - a mean z^2) + a mean(g z): section 4, algorithm 2.
        rate = ctx.momentum
        new = nu * (1 - rate * z.square().mean(dims)) + rate * (g * z).mean(dims)
        ctx.nu.copy_(new.detach())
        return corrected / root, None, None, None


class PowerNormLayer(Norm):
    """x over a running root mean square. running_square (phi), running_dot (nu): [features]."""

    running_square: Tensor
    running_dot: Tensor
    warm: Tensor

    def __init__(self, slot: NormSlot, policy: NormPolicy, momentum: float, warmup: float):
        super().__init__(slot, policy)
        self.momentum, self.warmup = momentum, warmup
        self.register_buffer("running_square", torch.ones(slot.features))
        self.register_buffer("running_dot", torch.zeros(slot.features))
        self.register_buffer("warm", torch.tensor(float(warmup == 0)))

    def on_progress(self, share: float) -> None:
        """From ``warmup`` on it normalizes by what it keeps."""
        self.warm.fill_(float(share >= self.warmup))

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        if not self.training:
            root = torch.sqrt(against(self.running_square, x) + self.eps)
            return self.scaled(wide / root).to(x.dtype)
        square = wide.square().mean((0, *range(2, x.ndim)))
        before = self.running_square.to(square.dtype).clone()
        by_batch = wide / torch.sqrt(against(square, x) + self.eps)
        root = torch.sqrt(against(before, x) + self.eps)
        by_running = _Divide.apply(wide, root, self.running_dot, self.momentum)
        y = torch.where(self.warm > 0, by_running, by_batch)
        with torch.no_grad():
            move(self.running_square, square, self.momentum)
        return self.scaled(y).to(x.dtype)


@NORMS.register("powernorm", aliases=("power", "pn"))
class PowerNorm(BatchMethod):
    """y = x / sqrt(phi + eps) * gamma + beta, phi a running mean square per feature.

    Backward: (g - nu y) / sqrt(phi + eps), nu a running mean of g times y. phi is the one before
    the batch; for the first share of the budget that of the batch itself. x: [N, F] or
    [N, C, H, W]; gamma, beta: [F] or [C]. Shen, Yao, Gholami, Mahoney & Keutzer 2020,
    arXiv:2003.07845.
    """

    @dataclass(frozen=True)
    class Options:
        """warmup: share of the budget for which the batch's own mean square serves.

        momentum: weight of the newest batch, in both directions.
        """

        warmup: Annotated[float, Ge(0), Le(1)] = 0.1
        momentum: Annotated[float, Gt(0), Le(1)] = 0.1

    traits = Traits(
        centered=False,
        plain=False,
        over="batches so far, of squares",
        batch_dependent=True,
        formula="x / sqrt(running mean square + eps) * gamma + beta",
        year=2020,
        paper="Shen, Yao, Gholami, Mahoney & Keutzer, arXiv:2003.07845",
        eps="inside",
        state="running mean square, running gradient correlation, whether warm",
        train_differs=True,
        gradient="it takes phi as a constant and a running mean for the rest",
        convention="momentum .1, weight of the newest batch; warm-up is a share of the budget",
        reference="sIncerass/powernorm mask_powernorm.py warms up for 10,000 steps with a "
        "cumulative average, divides in backward by the batch's own deviation, and is preceded by "
        "an RMS norm of groups of features",
    )
    conflicts = MappingProxyType(
        {
            "stack": "its backward pass moves what it keeps, which several runs in one step cannot",
            "compile": "its backward pass moves what it keeps, which a compiler does not see",
        }
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        return PowerNormLayer(slot, self.policy, self.options.momentum, self.options.warmup)

    def law(self, slot: NormSlot) -> Law:
        return Law("batch", centered=False)  # that of the batch, while it warms up

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        over = (0, *positions(x))
        square = (x**2).mean(over, keepdims=True)
        if not training or values["warm"] > 0:
            square = kept(values, "running_square", x)
        return affine(x / np.sqrt(square + self.policy.eps), values)
