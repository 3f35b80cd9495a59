"""What each parameter of a network is for: decay and precision go by it, not by its shape."""

from __future__ import annotations

from typing import Literal

from torch import nn
from torch.nn.utils import parametrize

from normbench.models.base import Block

Role = Literal["weight", "bias", "norm", "activation", "scale"]

PRODUCTS = (nn.Linear, nn.modules.conv._ConvNd)
"""Modules that multiply by a matrix or a kernel."""


def roles(network: nn.Module) -> dict[str, Role]:
    """The role of every parameter by its name, from where it stands.

    weight, bias: of a Linear or Conv; norm, activation: of whatever stands as the norm or the
    activation of a block, be it a matrix; scale: all others, such as the length in a weight norm
    (of a parametrized weight, the part in the weight's own shape is the weight).
    """
    found: dict[str, Role] = {name: "scale" for name, _ in network.named_parameters()}
    for path, module in network.named_modules():
        if isinstance(module, PRODUCTS):
            found |= {_join(path, name): role for name, role in _of_product(module).items()}
    # Last: a Linear within a norm is a part of the norm.
    for path, module in network.named_modules():
        if isinstance(module, Block):
            for part, role in (("norm", "norm"), ("activation", "activation")):
                for name, _ in module.get_submodule(part).named_parameters():
                    found[_join(path, f"{part}.{name}")] = role  # type: ignore[assignment]
    return found


def _of_product(module: nn.Module) -> dict[str, Role]:
    own: dict[str, Role] = {name: "scale" for name, _ in module.named_parameters()}
    if parametrize.is_parametrized(module, "weight"):
        for name, part in module.named_parameters():
            if name.startswith("parametrizations.weight.") and part.shape == module.weight.shape:
                own[name] = "weight"
    elif "weight" in own:
        own["weight"] = "weight"
    if "bias" in own:
        own["bias"] = "bias"
    return own


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
