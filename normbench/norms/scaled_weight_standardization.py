"""Scaled weight standardization: weights that keep the variance of a signal, without a norm."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from normbench.norms.base import NORMS, Traits
from normbench.norms.weightwise import WeightMethod, by_output, inputs_of

if TYPE_CHECKING:
    from normbench.models.network import Network

LEAST = 1e-4


class ScaledStandardized(nn.Module):
    """(w - mean) * gain / sqrt(max(var * fan_in, 1e-4)) * factor. gain: [out], ones."""

    def __init__(self, outputs: int, factor: float):
        super().__init__()
        self.gain, self.factor = nn.Parameter(torch.ones(outputs)), factor

    def forward(self, w: Tensor) -> Tensor:
        var, mean = torch.var_mean(w, inputs_of(w), correction=0, keepdim=True)
        scale = torch.rsqrt((var * w[0].numel()).clamp_min(LEAST)) * self.factor
        return (w - mean) * (scale * self.gain.view(by_output(w)))


def activation_gain(activation: nn.Module) -> float:
    """1 / the standard deviation of the activation of a standard Gaussian: its gamma."""
    z = np.linspace(-12, 12, 48001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    with torch.no_grad():
        y = activation(torch.from_numpy(z)).numpy()
    mean = float((y * density).sum())
    return 1 / math.sqrt(float(((y - mean) ** 2 * density).sum()))


def gain_of(path: str, network: Network | None) -> float:
    """The gamma for the layer at ``path``: that of the activation before it, 1 for the first."""
    if network is None or path == network.layers[0].path:
        return 1.0
    return activation_gain(network.blueprint.settings.make_activation())


@NORMS.register("scaled_weight_standardization", aliases=("sws", "scaled_ws"))
class ScaledWeightStandardization(WeightMethod):
    """w = gamma * gain * (v - mean) / sqrt(max(var * fan_in, 1e-4)), of each output's weights.

    v: [out, in] or [out, in, kh, kw]; gain: [out], ones; gamma: 1 over the standard deviation of
    the activation of a Gaussian, 1.71286 for ReLU. Brock, De & Smith 2021, arXiv:2101.08692.
    """

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        over="the weights of an output",
        formula="w = gamma * gain * (v - mean) / sqrt(max(var * fan_in, 1e-4))",
        year=2021,
        paper="Brock, De & Smith, arXiv:2101.08692",
        eps="clamped",
        parameters="1 an output of a layer",
        train_differs=False,
        convention="biased variance; gamma in the weights of all layers but the first, computed "
        "exactly",
        reference="google-deepmind nfnets/base.py multiplies the activation by a rounded, sampled "
        "gamma (up to .1 % off); timm has it in the weights, with eps 1e-6 inside the root",
    )

    def weight(
        self, layer: nn.Module, path: str = "", network: Network | None = None
    ) -> nn.Module | None:
        return ScaledStandardized(len(layer.weight), gain_of(path, network))  # type: ignore[arg-type]
