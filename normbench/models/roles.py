"""What each parameter of a network is for: decay and precision go by it, not by its shape."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Literal

from torch import nn
from torch.nn.utils import parametrize

from normbench.models.trace import PRODUCTS

Role = Literal["weight", "bias", "norm", "activation", "scale"]


def roles(
    network: nn.Module, norms: Collection[str], activations: Collection[str]
) -> dict[str, Role]:
    """The role of every parameter by its name, from where it stands.

    weight, bias: of a Linear or Conv, of attention's projections and of recurrent layers; norm,
    activation: of whatever stands at those paths, be it a matrix; scale: all others, such as the
    length in a weight norm (of a parametrized weight, the part in the weight's own shape is the
    weight) or the embedding of a position.
    """
    role_of: dict[str, Role] = {name: "scale" for name, _ in network.named_parameters()}
    for path, module in network.named_modules():
        if isinstance(module, (*PRODUCTS, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)):
            role_of |= {_join(path, name): role for name, role in _of_product(module).items()}
    # Last: a Linear within a norm is a part of the norm.
    for paths, role in ((norms, "norm"), (activations, "activation")):
        for path in paths:
            for name, _ in network.get_submodule(path).named_parameters():
                role_of[_join(path, name)] = role  # type: ignore[assignment]
    return role_of


def hidden_matrices(
    network: nn.Module, role_of: Mapping[str, Role], first: str | None, head: str | None
) -> frozenset[str]:
    """Names of the weights that are matrices, less those of the first layer and the head.

    role_of: ``roles`` of the network; first, head: paths.
    """
    ends = tuple(f"{path}." for path in (first, head) if path)
    return frozenset(
        name
        for name, parameter in network.named_parameters()
        if role_of[name] == "weight" and parameter.ndim == 2 and not name.startswith(ends)
    )


def _of_product(module: nn.Module) -> dict[str, Role]:
    own: dict[str, Role] = {}
    parametrized = parametrize.is_parametrized(module, "weight")
    for name, part in module.named_parameters(recurse=parametrized):
        last = name.rpartition(".")[2]
        if "bias" in last:
            own[name] = "bias"
        elif not parametrized:
            own[name] = "weight"
        else:
            own[name] = "weight" if part.shape == module.weight.shape else "scale"
    return own


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
