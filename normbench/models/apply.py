"""A method's changes to a network that stands and is drawn."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from normbench.errors import ConfigError, Problem
from normbench.models.network import Network, Swap
from normbench.models.roles import roles
from normbench.models.slots import Anatomy
from normbench.models.trace import NormSite
from normbench.norms import NormMethod, NormSlot
from normbench.norms.base import Branch, Norm
from normbench.norms.layouts import FeaturesFirst, Rows, layer_at


class _Copy(nn.Module):
    """y = x in memory of its own, where what follows may write into it."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


def apply(network: Network, anatomy: Anatomy) -> None:
    module, method = network.module, network.method
    open_ = network.blueprint.architecture.open
    norms, activations = [slot.path for slot in network.slots], set(anatomy.activations)
    stands = _places(module)
    backbone = {id(p) for p in module.parameters()}
    swaps = []
    for slot in network.slots:
        given = module.get_submodule(slot.path)
        if method.replaces or isinstance(given, NormSite):
            swaps.append(_exchange(module, stands, slot, given, method))
        if "activation" in method.replaces and slot.activation is not None:
            old = module.get_submodule(slot.activation)
            # Anew: it may have moved with the norm that carries it.
            _replace(_places(module), old, method.activation(slot, old))
    for part in module.modules():
        if isinstance(part, torch.jit.ScriptModule):
            continue  # takes no other value
        if open_ and method.replaces and getattr(part, "inplace", False) is True:
            part.inplace = False  # type: ignore[assignment]
    if "weight" in method.replaces:
        for layer, product in zip(network.layers, network.products(), strict=True):
            parametrization = method.weight(product, layer.path, network)
            if parametrization is not None:
                parametrize.register_parametrization(product, "weight", parametrization)
    if "residual" in method.replaces:
        standing = network.norms()
        blocks = network.blocks()
        for index, (path, block) in enumerate(blocks.items()):
            own = f"{path}."
            inside = {
                slot.path.removeprefix(own): slot
                for slot in network.slots
                if slot.path.startswith(own)
            }
            functions = tuple(sorted(a.removeprefix(own) for a in activations if a.startswith(own)))
            method.residual(block, Branch(index, len(blocks), inside, functions))
        network.slots = _followed(module, network.slots, standing)
        norms = [slot.path for slot in network.slots]
    network.swaps = tuple(swaps)
    if "init" in method.replaces:
        method.reinitialize(network)
    network.roles = roles(module, norms, activations)
    network.rules = {
        name: rule
        for name, parameter in module.named_parameters()
        if id(parameter) not in backbone and (rule := method.rules.get(name.rpartition(".")[2]))
    }


def _exchange(
    module: nn.Module, stands: Parents, slot: NormSlot, given: nn.Module, method: NormMethod
) -> Swap:
    layer = layer_at(method, slot)
    if isinstance(layer, nn.Identity):
        fresh = isinstance(given, NormSite) or (slot.producer is not None and slot.calls == 1)
        layer = layer if fresh else _Copy()
    before = None if isinstance(given, NormSite) else written(given, slot)
    after = written(layer, slot)
    own = layer.norm if isinstance(layer, FeaturesFirst | Rows) else layer
    if not isinstance(own, nn.Identity | Norm):  # ours see to it themselves
        layer.register_forward_hook(_in_the_type_of_its_input)
    act, drop = getattr(given, "act", None), getattr(given, "drop", None)
    if isinstance(act, nn.Module):  # timm's norms carry their activation
        parts = {"norm": layer, **({"drop": drop} if isinstance(drop, nn.Module) else {})}
        layer = nn.Sequential(OrderedDict(**parts, act=act))
    _replace(stands, given, layer)
    return Swap(slot, before, after)


def _followed(
    module: nn.Module, slots: tuple[NormSlot, ...], standing: Sequence[nn.Module]
) -> tuple[NormSlot, ...]:
    """The slots at the addresses that their norms have, once a method has moved some."""
    now = {id(part): path for path, part in module.named_modules(remove_duplicate=False)}
    followed = []
    for slot, norm in zip(slots, standing, strict=True):
        path = now.get(id(norm), slot.path)
        # Where something has been put beside it, the address of both is still the one known.
        followed.append(slot if path.startswith(f"{slot.path}.") else replace(slot, path=path))
    return tuple(followed)


def written(layer: nn.Module, slot: NormSlot) -> str:
    """As plain PyTorch writes it, else as the layer calls itself."""
    from normbench.models.plain import plain  # is built on this file

    return plain(layer, slot) or str(layer).replace("\n", " ")


def _in_the_type_of_its_input(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Autocast on CUDA makes float32 of some norms alone."""
    return output.to(args[0].dtype)


Parents = dict[int, list[tuple[nn.Module, str]]]
"""id of a module -> every (parent, name) under which it stands."""


def _places(module: nn.Module) -> Parents:
    stands: Parents = {}
    for part in module.modules():
        for name, child in part._modules.items():
            stands.setdefault(id(child), []).append((part, name))
    return stands


def _replace(stands: Parents, old: nn.Module, new: nn.Module) -> None:
    """Wherever ``old`` stands, also under several names."""
    for parent, name in stands[id(old)]:
        parent._modules[name] = new
        if isinstance(parent, nn.TransformerEncoderLayer):
            # In evaluation it would pass by its norms, as if they were still PyTorch's.
            parent.activation_relu_or_gelu = 0


ROUNDING = 1e-6


def verify(network: Network, before: Mapping[str, Tensor]) -> None:
    """Note what of the backbone the method changed. Raises AssertionError if it may not."""
    changed = []
    for name, value in before.items():
        path, _, last = name.rpartition(".")
        holder = network.module.get_submodule(path)
        now = getattr(holder, last, None)
        # A weight norm that keeps the weights computes them anew, with other rounding.
        off = ROUNDING if parametrize.is_parametrized(holder, last) else 0.0
        if not isinstance(now, Tensor) or not torch.allclose(now.detach(), value, off, off):
            changed.append(name)
    network.reinitialized = tuple(changed)
    if changed and not network.method.replaces & {"weight", "init"}:
        kind = type(network.method).__name__
        raise ConfigError(
            [Problem("norms", f"{kind} changes {', '.join(changed)}, which it does not declare")]
        )
