"""EvoNorm-B0: norm and activation in one, with the larger of two deviations."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, Floats, NormPolicy, NormSlot, Traits, high
from normbench.norms.laws import Law
from normbench.norms.reference import affine, along, kept, positions
from normbench.norms.running import BatchMethod, RunningNorm, against


class EvoNormB0Layer(RunningNorm):
    """x over the larger of the batch's deviation and v x plus its own. v: [features], ones."""

    def __init__(self, slot: NormSlot, policy: NormPolicy):
        super().__init__(slot, policy, mean=False)
        self.v = nn.Parameter(torch.ones(slot.features))

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        if self.training:
            _, var = self.moments(x)
            self.gather(x, None, var)
        else:
            var = self.running_var
        own = wide.var((2, 3), correction=0, keepdim=True)
        batch = torch.sqrt(against(var, x) + self.eps)
        bound = against(self.v, x) * wide + torch.sqrt(own + self.eps)
        return self.scaled(wide / torch.maximum(batch.expand_as(bound), bound)).to(x.dtype)


@NORMS.register("evonorm_b0", aliases=("evonormb0", "evob0"))
class EvoNormB0(BatchMethod):
    """y = x / max(sqrt(batch var + eps), v x + sqrt(instance var + eps)) * gamma + beta.

    In the place of norm and activation. x: [N, C, H, W]; the first variance over N,H,W, the second
    over H,W; v, gamma, beta: [C]. In evaluation the running variance stands in for the first. Liu,
    Brock, Simonyan & Le 2020, arXiv:2004.02967.
    """

    traits = Traits(
        statistics="batch",
        centered=False,
        plain=False,
        over="the batch, and the positions of a channel of one example",
        formula="x / max(sqrt(batch var + eps), v x + sqrt(instance var + eps)) * gamma + beta",
        year=2020,
        paper="Liu, Brock, Simonyan & Le, arXiv:2004.02967",
        eps="inside",
        state="running variance",
        train_differs=True,
        convention="biased variances in training, unbiased in the running one; momentum is the "
        "weight of the newest batch; v 1 at the start",
        reference="tensorflow/tpu resnet_model.py: eps 1e-5 and a biased running variance; timm: "
        "eps 1e-3 and an unbiased one",
    )
    replaces = frozenset({"norm", "activation"})

    def norm(self, slot: NormSlot) -> nn.Module:
        return EvoNormB0Layer(slot, self.policy)

    def activation(self, slot: NormSlot, given: nn.Module) -> nn.Module:
        return nn.Identity()

    def law(self, slot: NormSlot) -> Law | str:
        return "theory has no law of a maximum of two statistics"

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        eps = self.policy.eps
        var = x.var((0, *positions(x)), keepdims=True)
        var = var if training else kept(values, "running_var", x)
        own = x.var(positions(x), keepdims=True)
        bound = along(values["v"], x) * x + np.sqrt(own + eps)
        return affine(x / np.where(bound > np.sqrt(var + eps), bound, np.sqrt(var + eps)), values)

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        if slot.positions == 1:
            return (
                "EvoNorm-B0 takes a variance over the positions of an image, and here there is one "
                "at most (use batch, or a CNN)"
            )
        return super().problem(slot, batch_size)
