"""Where a network's norms, weight layers and activations are, found by one forward pass."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from normbench.constants import ASKED_FOR, NEVER_CALLED
from normbench.models.activations import Linear
from normbench.models.residual import Residual
from normbench.models.roles import hidden_matrices, roles
from normbench.models.trace import (
    ACTIVATIONS,
    PRODUCTS,
    Call,
    NormSite,
    Pass,
    base,
    forward,
    is_norm,
)
from normbench.norms import NormSlot

BY_KEYWORD = "its input is given by a keyword, which another layer may not know"
FROZEN = "it is frozen: no parameter here requires a gradient"
COMPILED = "it is compiled by torch.jit, in which nothing can be exchanged"


@dataclass(frozen=True)
class Kept:
    """A norm that was left as it is, and why."""

    path: str
    kind: str
    reason: str


@dataclass(frozen=True)
class Layer:
    """A hidden Linear or Conv that a forward pass calls.

    path: its address; signal: (path, which of its calls) of the module whose output stands for this
    layer's activations: the activation function that follows, else the norm, else the layer itself;
    activated: whether it is an activation function; norm: path of the norm it leads into;
    scaled: whether that norm divides out the scale of this layer's weights, provided the method
    divides by a scale at all: the norm follows at once, or behind a homogeneous activation.
    """

    path: str
    signal: tuple[str, int]
    activated: bool
    norm: str | None
    scaled: bool
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Anatomy:
    """What a forward pass tells of a network.

    residuals: how many blocks with a residual branch of a known kind; held: layer -> why another
    way of holding its weight cannot be put there; matrices: names of the weights that are
    matrices, less those of the first layer and the head; draws: whether a training step takes
    random numbers from PyTorch's generator.
    """

    slots: tuple[NormSlot, ...]
    layers: tuple[Layer, ...]
    kept: tuple[Kept, ...]
    activations: frozenset[str]
    head: str | None
    output: tuple[int, ...]
    residuals: int = 0
    held: Mapping[str, str] = field(default_factory=dict)
    matrices: frozenset[str] = frozenset()
    draws: bool = False


def examine(module: nn.Module, example: Tensor, keep: frozenset[str] = frozenset()) -> Anatomy:
    """The anatomy of ``module`` from one forward pass on ``example`` [2, ...].

    keep: paths of norms to be left alone, or of modules that hold them. Raises Untraceable.
    """
    seen = Pass()
    output = forward(module, example, seen)
    return _Reader(module, seen, keep).anatomy(output)


# --- what it tells ---


@dataclass
class _Reader:
    """One pass, read."""

    module: nn.Module
    seen: Pass
    keep: frozenset[str]

    def __post_init__(self) -> None:
        self.calls = self.seen.calls
        self.branches = [n for n, p in self.module.named_modules() if isinstance(p, Residual)]
        self.owners: dict[int, list[int]] = {}
        for part in self.module.modules():
            for parameter in part.parameters(recurse=False):
                self.owners.setdefault(id(parameter), []).append(id(part))

    def anatomy(self, output: Any) -> Anatomy:
        slots, kept = self._slots()
        head = self._head(output)
        shape = tuple(output.shape) if isinstance(output, Tensor) else ()
        activations = frozenset(c.path for c in self.calls if isinstance(c.module, ACTIVATIONS))
        layers, residuals = self._layers(head), len(self.branches)
        held = self._held(layers)
        role_of = roles(self.module, [slot.path for slot in slots], activations)
        matrices = hidden_matrices(self.module, role_of, layers[0].path if layers else None, head)
        return Anatomy(slots, layers, kept, activations, head, shape, residuals, held, matrices)

    def _slots(self) -> tuple[tuple[NormSlot, ...], tuple[Kept, ...]]:
        slots: dict[str, NormSlot] = {}
        kept: dict[str, Kept] = {}
        for index, call in enumerate(self.calls):
            if not is_norm(call.module):
                continue
            if call.path in slots:
                slots[call.path] = replace(slots[call.path], calls=call.number + 1)
                continue
            kind = type(call.module).__name__
            reason = self._reason_to_keep(call)
            if reason:
                kept[call.path] = Kept(call.path, kind, reason)
                continue
            features, where = _features(call.module, call.input)
            if where is None:
                sizes = "x".join(map(str, call.input.shape[1:]))
                reason = f"no axis of {sizes} can be told to be its {features} features"
                kept[call.path] = Kept(call.path, kind, reason)
                continue
            slots[call.path] = NormSlot(
                call.path,
                features,
                tuple(call.input.shape[1:]),
                where,
                self._producer(index),
                self._activation_after(index),
                self._branch(call.path),
                default=call.module.default if isinstance(call.module, NormSite) else None,
            )
        for path, part in self.module.named_modules():
            if path in slots or path in kept:
                continue
            if is_norm(part):
                reason = BY_KEYWORD if path in self.seen.by_keyword else NEVER_CALLED
                kept[path] = Kept(path, type(part).__name__, reason)
                continue
            compiled = isinstance(part, torch.jit.ScriptModule)
            kind = part.original_name if compiled else type(part).__name__
            if "norm" in kind.lower() and next(part.parameters(False), None) is not None:
                reason = COMPILED if compiled else "not a type of norm that is known"
                kept[path] = Kept(path, kind, reason)
        for line, name in self.seen.functions.items():
            reason = "called as a function, which cannot be exchanged"
            kept[line] = Kept(line, name, reason)
        return tuple(slots.values()), tuple(kept.values())

    def _reason_to_keep(self, call: Call) -> str | None:
        held = [p for p in self.keep if call.path == p or call.path.startswith(f"{p}.")]
        if held:
            return ASKED_FOR
        if call.path in self.seen.by_keyword:
            return BY_KEYWORD
        if hasattr(call.module, "parametrizations"):
            return "its own parameters are parametrized"
        if self._frozen(call.path):
            return FROZEN
        own = {id(part) for part in call.module.modules()}
        owners = [o for p in call.module.parameters() for o in self.owners[id(p)]]
        if any(owner not in own for owner in owners):
            return "it shares a parameter with another module"
        return None

    def _frozen(self, path: str) -> bool:
        """Whether its parameters, or where it has none those beside it, take no gradient."""
        while path and not any(True for _ in self.module.get_submodule(path).parameters()):
            path = path.rpartition(".")[0]
        parameters = list(self.module.get_submodule(path).parameters())
        return bool(parameters) and not any(p.requires_grad for p in parameters)

    def _producer(self, index: int) -> str | None:
        """The Linear or Conv whose output enters, perhaps behind an activation."""
        at = self.calls[index]
        for call in reversed(self.calls[:index]):
            if not call.leads_to(at):
                continue
            if isinstance(call.module, PRODUCTS):
                return call.path
            if isinstance(call.module, ACTIVATIONS):
                at = call
        return None

    def _activation_after(self, index: int) -> str | None:
        at = self.calls[index]
        if isinstance(getattr(at.module, "act", None), ACTIVATIONS):
            return f"{at.path}.act"  # as timm's norms carry it
        for call in self.calls[index + 1 :]:
            if at.leads_to(call):
                return call.path if isinstance(call.module, ACTIVATIONS) else None
        return None

    def _branch(self, path: str) -> str | None:
        inside = [name for name in self.branches if path.startswith(f"{name}.")]
        return max(inside, key=len, default=None)

    def _head(self, output: Any) -> str | None:
        """The last Linear or Conv, where its output are the logits."""
        products = [c for c in self.calls if isinstance(c.module, PRODUCTS)]
        if products and isinstance(output, Tensor) and base(products[-1].output) is base(output):
            return products[-1].path
        return None

    def _layers(self, head: str | None) -> tuple[Layer, ...]:
        layers: dict[str, Layer] = {}
        for index, call in enumerate(self.calls):
            if not isinstance(call.module, PRODUCTS) or call.path in layers or call.path == head:
                continue
            norm, activation, behind = self._followers(index)
            signal = activation or norm or call
            homogeneous = (nn.ReLU, nn.LeakyReLU, Linear)
            scaled = norm is not None and (
                not behind
                or (activation is not None and isinstance(activation.module, homogeneous))
            )
            layers[call.path] = Layer(
                call.path,
                (signal.path, signal.number),
                activation is not None,
                norm.path if norm else None,
                scaled,
                tuple(call.output.shape[1:]),
            )
        return tuple(layers.values())

    def _held(self, layers: tuple[Layer, ...]) -> dict[str, str]:
        held = {}
        for layer in layers:
            part = self.module.get_submodule(layer.path)
            weight = part._parameters.get("weight")
            if weight is None:
                held[layer.path] = "is parametrized already"
            elif not weight.requires_grad:
                held[layer.path] = "is frozen"
            elif len(self.owners[id(weight)]) > 1:
                held[layer.path] = "is shared with another module"
        return held

    def _followers(self, index: int) -> tuple[Call | None, Call | None, bool]:
        """The norm and the activation that follow a layer, and whether the norm stands behind."""
        norm: Call | None = None
        activation: Call | None = None
        behind = False
        at = self.calls[index]
        for call in self.calls[index + 1 :]:
            if not at.leads_to(call):
                continue
            if isinstance(call.module, PRODUCTS):
                break
            if is_norm(call.module):
                if norm is not None:
                    break
                norm, behind, at = call, activation is not None, call
            elif activation is None:
                activation = at = call
            else:
                break
            if norm is not None and activation is not None:
                break
        return norm, activation, behind


HOMOGENEOUS = (nn.ReLU, nn.LeakyReLU, Linear)
"""Activations with phi(c z) = c phi(z) for every c > 0."""


def _features(module: nn.Module, x: Tensor) -> tuple[int, int | None]:
    """How many features a norm has, and where they stand in x [N, ...]: 1, -1 or unknown."""
    if isinstance(module, NormSite):
        size = module.features
        first, last = x.shape[1] == size, x.shape[-1] == size
        tokens = x.ndim == 3 or not first
        return size, -1 if x.ndim > 2 and last and tokens else 1 if first else None
    if isinstance(module, _NormBase):
        return module.num_features, 1
    if isinstance(module, nn.GroupNorm):
        return module.num_channels, 1
    shape = tuple(getattr(module, "normalized_shape", x.shape[-1:]))
    if len(shape) > 1:  # over C, H, W
        return shape[0], 1 if tuple(x.shape[-len(shape) :]) == shape else None
    (size,) = shape
    if x.ndim == 2:
        return size, 1
    if x.shape[1] == size and (x.shape[-1] != size or not _normalizes_last(module, x)):
        return size, 1
    return size, -1 if x.shape[-1] == size else None


def _normalizes_last(module: nn.Module, x: Tensor) -> bool:
    """Tried out: whether the output's mean square over the last axis is one."""
    own = copy.deepcopy(module).to_empty(device="cpu") if x.is_meta else copy.deepcopy(module)
    for name, parameter in own.named_parameters():
        parameter.data = (
            torch.ones_like(parameter) if name.endswith("weight") else torch.zeros_like(parameter)
        )
    draw = torch.Generator().manual_seed(0)
    y = own(torch.randn(x.shape, generator=draw) * torch.linspace(1, 9, x.shape[-1]))
    return bool(((y.square().mean(-1) - 1).abs() < 0.1).all())
