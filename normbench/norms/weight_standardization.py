"""Weight standardization: each output's weights with mean zero and variance one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, Traits
from normbench.norms.weightwise import WeightMethod, inputs_of

if TYPE_CHECKING:
    from normbench.models.network import Network

EPS = 1e-6


class Standardized(nn.Module):
    """(w - mean) / sqrt(var + eps) of the weights of each output."""

    def forward(self, w: Tensor) -> Tensor:
        var, mean = torch.var_mean(w, inputs_of(w), correction=0, keepdim=True)
        return (w - mean) * torch.rsqrt(var + EPS)


@NORMS.register("weight_standardization", aliases=("ws", "standardized"))
class WeightStandardization(WeightMethod):
    """w = (v - mean) / sqrt(var + eps), over the inputs (and kernel) of each output.

    v: [out, in] or [out, in, kh, kw]. It fixes no scale by fan-in, so that it is meant to stand
    before a norm: ``{kind: group, weights: weight_standardization}``. Qiao, Wang, Liu, Shen &
    Yuille 2019, arXiv:1903.10520.
    """

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        over="the weights of an output",
        formula="w = (v - mean) / sqrt(var + eps), of each output's weights",
        year=2019,
        paper="Qiao, Wang, Liu, Shen & Yuille, arXiv:1903.10520",
        eps="none",
        parameters="0",
        train_differs=False,
        convention="biased variance, eps 1e-6 inside the root",
        reference="joe-siyuan-qiao/WeightStandardization: in torch the unbiased deviation with eps "
        "outside, in TensorFlow the biased one",
    )

    def weight(
        self, layer: nn.Module, path: str = "", network: Network | None = None
    ) -> nn.Module | None:
        return Standardized()
