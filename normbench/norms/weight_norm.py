"""Weight normalization: length and direction of each output's weights learned apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, NormSlot, Traits
from normbench.norms.laws import Law
from normbench.norms.weightwise import WeightMethod, inputs_of

if TYPE_CHECKING:
    from normbench.models.network import Network


G, V = (f"parametrizations.weight.original{i}" for i in (0, 1))

DEVIATION = 0.05
"""Of the entries of v with ``init: data``: Salimans & Kingma 2016, section 3."""
LEAST = 1e-8
"""Added to a variance, for a unit whose output never changes."""


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
        """init: keep, where the weights at the start are those that were drawn; unit, g = 1, where
        their variance becomes 1 / fan_in; or data, where each layer's outputs over some images of
        the training split have mean 0 and variance 1 by g and bias, as in the paper."""

        init: Literal["keep", "unit", "data"] = "keep"

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
        convention="g = ||v|| at the start, as torch has it; with init: data v has a deviation of "
        ".05 in the directions drawn, and g = 1 / deviation, bias = -mean / deviation of v x / "
        "||v|| over 256 images (bias only where layers have one); decay pulls on v, which changes "
        "nothing but its effective rate",
        reference="openai/weightnorm: init: data; the head, which it normalizes as well, is as "
        "drawn here. torch.nn.utils.parametrizations.weight_norm: equal to init: keep",
    )

    def starts_from_data(self) -> bool:
        return bool(self.options.init == "data")

    def law(self, slot: NormSlot) -> Law | str:
        if self.starts_from_data():
            return "theory has no law of weights and biases that go together, as data set them"
        return super().law(slot)

    def why_reinitialized(self) -> str:
        if self.options.init == "data":
            return "v short, g and bias by a batch of data, as in its paper"
        return "g = 1"

    def weight(
        self, layer: nn.Module, path: str = "", network: Network | None = None
    ) -> nn.Module | None:
        return LengthAndDirection(self.options.init == "unit")

    @torch.no_grad()
    def from_data(self, network: Network, images: Tensor) -> None:
        products = network.products()
        for layer in products:
            v = layer.get_parameter(V)
            v.mul_(DEVIATION / torch.sqrt(v.square().mean()))
        hooks = [layer.register_forward_hook(_standardize) for layer in products]
        network.module(images)
        for hook in hooks:
            hook.remove()


def _standardize(layer: nn.Module, _: object, output: Tensor) -> Tensor:
    """Set g and bias so that these outputs have mean 0 and variance 1; the outputs then."""
    g = layer.get_parameter(G)
    at = 1 if isinstance(layer, nn.modules.conv._ConvNd) else -1
    y = output.movedim(at, -1)
    bias = layer.bias
    t = (y - bias if isinstance(bias, Tensor) else y) / g.flatten()
    var, mean = torch.var_mean(t.flatten(0, -2), 0, correction=0)
    scale = torch.rsqrt(var + LEAST)
    g.copy_(scale.view_as(g))
    if isinstance(bias, Tensor):
        bias.copy_(-mean * scale)
    else:
        mean = torch.zeros_like(mean)
    return ((t - mean) * scale).movedim(-1, at)
