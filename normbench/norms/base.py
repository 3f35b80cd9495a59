"""What a normalization method is, and what the assembly of a network asks one for.

A method is bound to one network by its options and the experiment's ``NormPolicy``. The network is
built and drawn before the method sees it (``models/assemble``); the method then says what stands at
each place of a norm, and, where its paper asks for it, what becomes of activations, weights,
residual branches and initial values. What it touches it declares in ``replaces``.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from normbench.norms.laws import Law
from normbench.norms.slot import Axes as Axes
from normbench.norms.slot import NormPolicy as NormPolicy
from normbench.norms.slot import NormSlot as NormSlot
from normbench.norms.traits import Rule as Rule
from normbench.norms.traits import Statistics as Statistics
from normbench.norms.traits import Traits as Traits
from normbench.registry import Registry

Floats = npt.NDArray[np.float64]
EvalStatistics = Literal["ema", "precise", "batch"]
"""What stands for a batch's statistics in evaluation: see ``training/evaluation``."""
Part = Literal["norm", "activation", "weight", "residual", "init"]


@dataclass(frozen=True)
class Branch:
    """Where a residual block stands, and the norms in it.

    index: from 0, of ``depth`` blocks; slots: address within the block -> the slot found there;
    activations: addresses within the block of its activation functions.
    """

    index: int
    depth: int
    slots: Mapping[str, NormSlot]
    activations: tuple[str, ...] = ()


class NormMethod:
    """One normalization method, bound to its options and the experiment's policy.

    Subclasses register in ``NORMS``, state the formula, shapes and paper in their docstring, and
    declare:

    Options: the options a config may give, a frozen dataclass with a default for each.
    traits: what is known of it. replaces: which parts of a network it touches. rules: parameter
    name within its own modules -> what the paper fixes for it; ``strict`` turns these off.
    conflicts: a kind of model, ``stack`` or ``compile`` -> why it cannot stand with it. revision:
    raised when what it computes or declares is mended, so that its earlier runs are not taken for
    those that would be made now.

    A module that it puts into a network may have ``on_progress(share)``, which training calls
    before every update with the share of the budget that is done: for schedules, and for state
    that moves once an update, however often a forward pass or a probe looks.
    """

    @dataclass(frozen=True)
    class Options:
        """No options."""

    traits: ClassVar[Traits] = Traits()
    replaces: ClassVar[frozenset[Part]] = frozenset({"norm"})
    rules: ClassVar[Mapping[str, Rule]] = MappingProxyType({})
    conflicts: ClassVar[Mapping[str, str]] = MappingProxyType({})
    revision: ClassVar[int] = 0

    def __init__(self, policy: NormPolicy, options: Any, *, strict: bool = False):
        self.policy = policy
        self.options = options
        if strict:
            self.rules = MappingProxyType({})  # type: ignore[misc]

    @property
    def standard_layers(self) -> bool:
        """Whether weights, activations, branches and initial values stay those of the config."""
        return self.replaces <= {"norm"}

    @property
    def family(self) -> str:
        """What it takes its statistics over, or what it changes, in a word or two: for panels."""
        if "residual" in self.replaces:
            return "residual branches"
        if "weight" in self.replaces:
            return "weights"
        if self.traits.statistics is None and self.traits.batch_dependent is None:
            return "not declared" if self.replaces else "the network's own"
        if self.traits.mixes_examples:
            return "over the batch"
        return "over an example" if self.traits.statistics == "example" else "no statistics"

    def norm(self, slot: NormSlot) -> nn.Module:
        """The module that stands at ``slot``: [N, F] or [N, C, H, W] -> the same shape.

        So whatever the network's layout: the assembly brings tokens [N, L, F] as [N * L, F], and
        as [N, F, L, 1] to a method that finds a problem in that.
        """
        raise NotImplementedError

    def activation(self, slot: NormSlot, given: nn.Module) -> nn.Module:
        """The activation after ``slot``; most methods keep the ``given`` one."""
        return given

    def weight(self, layer: nn.Module, path: str = "", network: Any = None) -> nn.Module | None:
        """A parametrization of ``layer.weight`` (Linear or Conv at ``path``), or None."""
        return None

    def residual(self, block: Any, branch: Branch) -> None:
        """Change a block, a ``models.residual.Residual``, in place, in any kind of network."""

    def reinitialize(self, network: Any) -> None:
        """Give parameters of a ``models.network.Network`` other initial values, in place, once
        everything stands."""

    def starts_from_data(self) -> bool:
        """Whether ``from_data`` sets initial values."""
        return False

    def from_data(self, network: Any, images: Tensor) -> None:
        """Give parameters of a ``models.network.Network`` initial values by some images of the
        training split, in place. images: as a batch is, [N, F] or [N, C, H, W]."""

    def why_reinitialized(self) -> str:
        """Which other values weights of the backbone start with, in words."""
        return "by its own formula" if "weight" in self.replaces else ""

    def group_size(self, slot: NormSlot) -> int | None:
        """Values behind one statistic of one example; None where no statistic is of one example.

        All features and positions, or with ``axes: c`` and for tokens the features alone.
        """
        if self.traits.statistics != "example":
            return None
        return slot.features * (slot.positions if self.axes(slot) == "chw" else 1)

    def axes(self, slot: NormSlot) -> Axes:
        """What one example's statistics run over at ``slot``: tokens have their own, each."""
        own: Axes | None = getattr(self.options, "axes", None)
        return "c" if slot.is_tokens else own or self.policy.axes

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats | None:
        """The layer's output by the paper's formula in float64 NumPy: what tests hold it against.

        x: [N, F] or [N, C, H, W]; values: the layer's parameters and buffers before the call. None
        where there is nothing to be computed twice.
        """
        return None

    def law(self, slot: NormSlot) -> Law | str:
        """What theory is told of its layer at ``slot``, or why theory has nothing to say of it.

        By default what the traits say, of a method that does nothing besides.
        """
        traits = self.traits
        if traits.statistics is None or traits.centered is None:
            return "the norm does not declare what it divides by and whether it centres"
        if not traits.plain:
            return "it does more than its traits say, and declares no law of it"
        return Law(traits.statistics, traits.centered)

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        """Why this method makes no sense at ``slot`` with this batch size; None when it does."""
        return None


NORMS: Registry[type[NormMethod]] = Registry("norm", "normbench.norms")


@NORMS.adapter
def of_module(target: Any, reference: str) -> type[NormMethod]:
    """The method of ``file.py:Name``: a NormMethod, or the layer alone, a module over features.

    Such a module is called with ``features``, with ``eps``, ``affine`` and ``momentum`` where it
    takes them, and with options: its other arguments that have a plain default. Raises TypeError.
    """
    if isinstance(target, type) and issubclass(target, NormMethod):
        return target
    if not (isinstance(target, type) and issubclass(target, nn.Module)):
        raise TypeError("is neither a NormMethod nor a torch.nn.Module")
    shared = ("eps", "affine", "momentum")
    _, *others = inspect.signature(target).parameters.values()
    taken = [p.name for p in others if p.name in shared]
    options: list[tuple[str, Any, Any]] = []
    for parameter in others:
        default = parameter.default
        if parameter.name in taken or parameter.kind not in (1, 3):
            continue
        if default is inspect.Parameter.empty:
            raise TypeError(f"{target.__name__} needs {parameter.name}; give it a default")
        if type(default) in (bool, int, float, str):
            options.append((parameter.name, type(default), default))

    def norm(self: NormMethod, slot: NormSlot) -> nn.Module:
        given = {name: getattr(self.policy, name) for name in taken}
        return target(slot.features, **given, **dataclasses.asdict(self.options))

    made = dataclasses.make_dataclass("Options", options, frozen=True)
    own = {"Options": made, "norm": norm, "__doc__": target.__doc__, "layer_class": target}
    return type(target.__name__, (NormMethod,), own)


class Norm(nn.Module):
    """A layer with the shared affine: ``y * weight + bias`` per feature or channel.

    weight, bias: [features], ones and zeros; None where ``affine`` is off (or, for bias, where the
    method has no shift).
    """

    def __init__(self, slot: NormSlot, policy: NormPolicy, *, shift: bool = True):
        super().__init__()
        self.features, self.eps = slot.features, policy.eps
        self.weight: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        if policy.affine:
            self.weight = nn.Parameter(torch.ones(slot.features))
            if shift:
                self.bias = nn.Parameter(torch.zeros(slot.features))

    def scaled(self, y: Tensor) -> Tensor:
        """The affine on axis 1 of y: [N, F] or [N, C, H, W]."""
        if self.weight is not None:
            y = y * over_positions(self.weight, y)
        return y if self.bias is None else y + over_positions(self.bias, y)

    def extra_repr(self) -> str:
        affine = "none" if self.weight is None else "scale" if self.bias is None else "scale, shift"
        return f"{self.features}, eps={self.eps:g}, affine={affine}"


def over_positions(values: Tensor, x: Tensor) -> Tensor:
    """values [C], shaped to stand against axis 1 of x: [N, F] or [N, C, H, W]."""
    return values.view(-1, *[1] * (x.ndim - 2))


def high(x: Tensor) -> Tensor:
    """x for statistics and sums: in float32 at least."""
    return x if x.dtype is torch.float64 else x.float()


def channels_last(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, H, W, C], the view for statistics over C at each position."""
    return x.permute(0, 2, 3, 1)


def channels_first(x: Tensor) -> Tensor:
    """[N, H, W, C] -> [N, C, H, W], the inverse of ``channels_last``."""
    return x.permute(0, 3, 1, 2)


def make_method(
    kind: str, policy: NormPolicy = NormPolicy(), *, strict: bool = False, **options: Any
) -> NormMethod:
    """The method registered as ``kind``. Raises UnknownName, or TypeError on an unknown option."""
    cls = NORMS[kind]
    return cls(policy, cls.Options(**options), strict=strict)


def with_weights(method: NormMethod, weights: NormMethod) -> NormMethod:
    """``method`` for norms, and ``weights`` for the weights of the layers before them."""
    both = copy.copy(method)
    both.weight = weights.weight  # type: ignore[method-assign]
    both.why_reinitialized = weights.why_reinitialized  # type: ignore[method-assign]
    both.starts_from_data = weights.starts_from_data  # type: ignore[method-assign]
    both.from_data = weights.from_data  # type: ignore[method-assign]
    both.replaces = method.replaces | weights.replaces  # type: ignore[misc]
    both.rules = {**weights.rules, **method.rules}  # type: ignore[misc]
    both.conflicts = {**weights.conflicts, **method.conflicts}  # type: ignore[misc]

    def problem(slot: NormSlot, batch_size: int) -> str | None:
        return method.problem(slot, batch_size) or weights.problem(slot, batch_size)

    def law(slot: NormSlot) -> Law | str:
        unknown = weights.law(slot)
        return unknown if isinstance(unknown, str) else method.law(slot)

    both.problem, both.law = problem, law  # type: ignore[method-assign]
    return both


def make_norm(
    kind: str, slot: NormSlot | Sequence[int], policy: NormPolicy = NormPolicy(), **options: Any
) -> nn.Module:
    """One norm layer by name, for a slot or the shape of one example, features first."""
    if not isinstance(slot, NormSlot):
        slot = NormSlot.of(*slot)
    return make_method(kind, policy, **options).norm(slot)
