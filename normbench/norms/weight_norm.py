"""Weight normalization: length and direction of each output's weights learned apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, Traits
from normbench.norms.weightwise import WeightMethod, inputs_of

if TYPE_CHECKING:
    from normbench.models.network import Network


class LengthAndDirection(nn.Module):
    """w = g v / ||v||. unit: whether g starts at one, rather than where w is what it was."""

    def __init__(self, unit: bool):
        super().__init__()
        self.unit = unit

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return v * (g / torch.linalg.vector_norm(v, dim=inputs_of(v), keepdim=True))

    def right_inverse(self, w: Tensor) -> tuple[Tensor, Tensor]:
        """(g [out, 1, ...], v) of a weight."""
        length = torch.linalg.vector_norm(w, dim=inputs_of(w), keepdim=True)
        return (torch.ones_like(length) if self.unit else length), w


@NORMS.register("weight_norm", aliases=("wn", "weight_normalization"))
class WeightNorm(WeightMethod):
    """w = g v / ||v||, of each output's weights.

    v: [out, in] or [out, in, kh, kw]; g: [out]. Salimans & Kingma 2016, arXiv:1602.07868.
    """

    @dataclass(frozen=True)
    class Options:
        """init: keep, where the weights at the start are those that were drawn; or unit, g = 1,
        where their variance becomes 1 / fan_in."""

        init: Literal["keep", "unit"] = "keep"

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        over="the weights of an output",
        formula="w = g v / ||v||, of each output's weights",
        year=2016,
        paper="Salimans & Kingma, arXiv:1602.07868",
        eps="none",
        parameters="1 an output of a layer",
        train_differs=False,
        convention="g = ||v|| at the start, as torch has it; decay pulls on v, which changes "
        "nothing but its effective rate",
        reference="openai/weightnorm starts g and bias from one batch of data, which is not "
        "offered here; torch.nn.utils.parametrizations.weight_norm: equal",
    )

    def weight(
        self, layer: nn.Module, path: str = "", network: Network | None = None
    ) -> nn.Module | None:
        return LengthAndDirection(self.options.init == "unit")
