"""LayerScale: a learned multiplier for every feature of a residual branch, small at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, Branch, NormMethod, NormSlot, Traits, make_method
from normbench.norms.branches import behind, features_behind
from normbench.norms.laws import Law

if TYPE_CHECKING:
    from normbench.models.residual import Residual


class FeatureScale(nn.Module):
    """y = x * weight along axis ``feature_dim``. weight: [features]."""

    def __init__(self, features: int, feature_dim: int, start: float):
        super().__init__()
        self.feature_dim, self.factor = feature_dim, start
        self.weight = nn.Parameter(torch.full((features,), start))

    def forward(self, x: Tensor) -> Tensor:
        shape = [1] * x.ndim
        shape[self.feature_dim] = -1
        return x * self.weight.view(shape).to(x.dtype)


@NORMS.register("layerscale", aliases=("layer_scale",))
class LayerScale(NormMethod):
    """y = skip(x) + gamma * f(x), one gamma for each feature, with the norms beside it.

    gamma: [features of the branch]. Touvron, Cord, Sablayrolles, Synnaeve & Jegou 2021,
    arXiv:2103.17239.
    """

    @dataclass(frozen=True)
    class Options:
        """norm: what stands at the places of norms; original: those of the network's paper.

        start: of gamma; the paper's 1e-5 is for 24 layers, 1e-6 for more.
        """

        norm: Literal["original", "none", "batch", "layer", "rms", "group"] = "original"
        start: float = 1e-5

    traits = Traits(
        statistics=None,
        centered=None,
        plain=False,
        batch_dependent=False,
        formula="skip(x) + gamma * f(x), gamma small at the start",
        year=2021,
        paper="Touvron, Cord, Sablayrolles, Synnaeve & Jegou, arXiv:2103.17239",
        eps="none",
        parameters="1 of a branch, and its norm's",
        train_differs=False,
        convention="gamma 1e-5 at the start; what is said of statistics is of its norm",
        reference="facebookresearch/deit cait_models.py: 1e-4 is the default of its class, its "
        "models pass 1e-5 and 1e-6; timm: 1e-5",
    )
    replaces = frozenset({"norm", "residual"})

    @property
    def inner(self) -> NormMethod:
        """The norm beside it."""
        return make_method(self.options.norm, self.policy)

    def norm(self, slot: NormSlot) -> nn.Module:
        return self.inner.norm(slot)

    def law(self, slot: NormSlot) -> Law | str:
        return self.inner.law(slot)

    def residual(self, block: Residual, branch: Branch) -> None:
        slot = next(iter(branch.slots.values()))
        features = features_behind(block.branch, slot)
        scale = FeatureScale(features, slot.feature_dim, self.options.start)
        block.branch_end = behind(block.branch_end, scale)

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        return self.inner.problem(slot, batch_size)
