"""Filter response normalization with its thresholded linear unit."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from normbench.norms.base import (
    NORMS,
    Floats,
    Norm,
    NormMethod,
    NormPolicy,
    NormSlot,
    Traits,
    high,
    over_positions,
)
from normbench.norms.laws import Law
from normbench.norms.reference import affine, positions

LEARNED_EPS = 1e-4


class FilterResponseNormLayer(Norm):
    """x over the root mean square of its positions. extra_eps: [], where one is learned."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, learn_eps: bool):
        super().__init__(slot, policy)
        self.extra_eps = nn.Parameter(torch.tensor(LEARNED_EPS)) if learn_eps else None

    def forward(self, x: Tensor) -> Tensor:
        wide = high(x)
        square = wide.square().mean((2, 3), keepdim=True) + self.eps
        if self.extra_eps is not None:
            square = square + self.extra_eps.abs()
        return self.scaled(wide * torch.rsqrt(square)).to(x.dtype)


class ThresholdedLinear(nn.Module):
    """max(x, tau), tau: [features], zeros."""

    starts_as = "relu"

    def __init__(self, features: int):
        super().__init__()
        self.tau = nn.Parameter(torch.zeros(features))

    def forward(self, x: Tensor) -> Tensor:
        return torch.maximum(x, over_positions(self.tau, x).to(x.dtype))


@NORMS.register("frn", aliases=("filter_response",))
class FilterResponseNorm(NormMethod):
    """y = max(x / sqrt(mean(x^2) + eps) * gamma + beta, tau), over H,W of each channel.

    x: [N, C, H, W]; gamma, beta, tau: [C]; tau stands in the place of the activation. Singh &
    Krishnan 2020, arXiv:1911.09737.
    """

    @dataclass(frozen=True)
    class Options:
        """learn_eps: whether |eps'| is learned and added, as the paper asks for maps of 1x1; null:
        there alone."""

        learn_eps: bool | None = None

    traits = Traits(
        statistics="example",
        centered=False,
        plain=False,
        over="the positions of a channel of one example",
        formula="max(x / sqrt(mean(x^2) + eps) * gamma + beta, tau), over the positions",
        year=2020,
        paper="Singh & Krishnan, arXiv:1911.09737",
        eps="inside",
        train_differs=False,
        convention="eps 1e-6 in the paper, here the experiment's; a learned |eps'| from 1e-4 at "
        "maps of one position",
        reference="gupta-abhay/pytorch-frn: equal; timm takes 1e-5. The paper's gain on ResNet-50 "
        "does not replicate (ppwwyyxx/FRN-on-common-ImageNet-baseline)",
    )
    replaces = frozenset({"norm", "activation"})

    def norm(self, slot: NormSlot) -> nn.Module:
        learn = self.options.learn_eps
        return FilterResponseNormLayer(
            slot, self.policy, slot.positions == 1 if learn is None else learn
        )

    def activation(self, slot: NormSlot, given: nn.Module) -> nn.Module:
        return ThresholdedLinear(slot.features)

    def group_size(self, slot: NormSlot) -> int:
        return slot.positions

    def law(self, slot: NormSlot) -> Law | str:
        if slot.positions == 1:
            return "theory has no law of an eps that is learned"
        return Law("batch", centered=False)  # positions are to each other what examples are

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        eps = self.policy.eps + np.abs(values.get("extra_eps", np.zeros(())))
        return affine(x / np.sqrt((x**2).mean(positions(x), keepdims=True) + eps), values)

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        if not slot.has_positions:
            return (
                "filter response norm takes its mean square over the positions of an image, and "
                "features of an MLP have none (use rms, or a CNN)"
            )
        return None
