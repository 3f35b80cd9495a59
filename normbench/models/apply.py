"""A method's changes to a network that stands and is drawn."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from normbench.errors import ConfigError, Problem
from normbench.models.base import Block
from normbench.models.network import Network, Swap
from normbench.models.residual import Residual
from normbench.models.roles import roles
from normbench.models.slots import Anatomy
from normbench.models.trace import NormSite
from normbench.norms import NormMethod, NormSlot, Rule


class FeaturesFirst(nn.Module):
    """A norm over axis 1 of [N, C, H, W], where features or positions lie otherwise."""

    def __init__(self, norm: nn.Module, feature_dim: int):
        super().__init__()
        self.norm, self.feature_dim = norm, feature_dim

    def forward(self, x: Tensor) -> Tensor:
        first = x.movedim(self.feature_dim, 1).contiguous()
        # One axis of positions becomes two, and three or more become two.
        folded = first.unsqueeze(-1) if x.ndim == 3 else first.flatten(3) if x.ndim > 4 else first
        y: Tensor = self.norm(folded)
        return y.reshape(first.shape).movedim(1, self.feature_dim)


class Rows(nn.Module):
    """A norm of [N, F] that takes every token of [N, ..., F] as an example."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x.reshape(-1, x.shape[-1]))
        return y.view(x.shape)


class _Copy(nn.Module):
    """y = x in memory of its own, where what follows may write into it."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


def apply(network: Network, anatomy: Anatomy) -> None:
    module, method = network.module, network.method
    open_ = network.blueprint.architecture.open
    norms, activations = [slot.path for slot in network.slots], set(anatomy.activations)
    stands = _places(module)
    swaps = []
    for slot in network.slots:
        given = module.get_submodule(slot.path)
        if method.replaces or isinstance(given, NormSite):
            swaps.append(_exchange(module, stands, slot, given, method))
        if "activation" in method.replaces and slot.activation is not None:
            old = module.get_submodule(slot.activation)
            _replace(stands, old, method.activation(slot, old))
    for part in module.modules():
        if open_ and method.replaces and getattr(part, "inplace", False) is True:
            part.inplace = False  # type: ignore[assignment]
    if "weight" in method.replaces:
        for product in network.products():
            parametrization = method.weight(product)
            if parametrization is not None:
                parametrize.register_parametrization(product, "weight", parametrization)
    if "residual" in method.replaces:
        branches = [part for part in module.modules() if isinstance(part, Residual)]
        for index, branch in enumerate(branches):
            method.residual(branch, index, len(branches))
    network.swaps = tuple(swaps)
    if "init" in method.replaces:
        method.reinitialize(network)
    network.roles = roles(module, norms, activations)
    network.rules = _rules(module, method)


def layer_at(method: NormMethod, slot: NormSlot) -> nn.Module:
    """The method's layer for the layout of ``slot``.

    Of tokens each is normalized by itself, as in a transformer; a method that needs positions gets
    those of the sequence.
    """
    if slot.is_tokens and method.problem(slot.of_one_token(), slot.positions) is None:
        layer = method.norm(slot.of_one_token())
        return layer if isinstance(layer, nn.Identity) else Rows(layer)
    layer = method.norm(slot)
    plain = slot.feature_dim == 1 and len(slot.shape) in (1, 3)
    if plain or isinstance(layer, nn.Identity):
        return layer
    return FeaturesFirst(layer, slot.feature_dim)


def _exchange(
    module: nn.Module, stands: Places, slot: NormSlot, given: nn.Module, method: NormMethod
) -> Swap:
    layer = layer_at(method, slot)
    if isinstance(layer, nn.Identity):
        fresh = isinstance(given, NormSite) or (slot.producer is not None and slot.calls == 1)
        layer = layer if fresh else _Copy()
    after = str(layer).replace("\n", " ")
    parent = module.get_submodule(slot.path.rpartition(".")[0])
    if not isinstance(layer, nn.Identity) and not isinstance(parent, Block):
        layer.register_forward_hook(_in_the_type_of_its_input)
    act, drop = getattr(given, "act", None), getattr(given, "drop", None)
    if isinstance(act, nn.Module):  # timm's norms carry their activation
        rest = [drop] if isinstance(drop, nn.Module) else []
        layer = nn.Sequential(layer, *rest, act)
    _replace(stands, given, layer)
    return Swap(slot, str(given), after)


def _in_the_type_of_its_input(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Autocast on CUDA makes float32 of some norms alone."""
    return output.to(args[0].dtype)


Places = dict[int, list[tuple[nn.Module, str]]]
"""id of a module -> every (parent, name) under which it stands."""


def _places(module: nn.Module) -> Places:
    found: Places = {}
    for part in module.modules():
        for name, child in part._modules.items():
            found.setdefault(id(child), []).append((part, name))
    return found


def _replace(stands: Places, old: nn.Module, new: nn.Module) -> None:
    """Wherever ``old`` stands, also under several names."""
    for parent, name in stands[id(old)]:
        parent._modules[name] = new


def _rules(module: nn.Module, method: NormMethod) -> dict[str, Rule]:
    return {
        name: method.rules[name.rpartition(".")[2]]
        for name, _ in module.named_parameters()
        if name.rpartition(".")[2] in method.rules
    }


def verify(network: Network, before: Mapping[str, Tensor]) -> None:
    """Note what of the backbone the method changed. Raises AssertionError if it may not."""
    changed = []
    for name, value in before.items():
        path, _, last = name.rpartition(".")
        now = getattr(network.module.get_submodule(path), last, None)
        if not isinstance(now, Tensor) or not torch.equal(now.detach(), value):
            changed.append(name)
    network.reinitialized = tuple(changed)
    if changed and network.method.replaces <= {"norm"}:
        kind = type(network.method).__name__
        raise ConfigError(
            [Problem("norms", f"{kind} changes {', '.join(changed)}, which it does not declare")]
        )
