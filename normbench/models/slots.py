"""Where a network's norms, weight layers and activations are, found by one forward pass.

The pass runs on two examples in evaluation mode, and the network's state is put back after it.
"""

from __future__ import annotations

import copy
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.modules import activation as torch_activations
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.overrides import TorchFunctionMode

from normbench.components import summary_of
from normbench.models.activations import Linear
from normbench.models.residual import Residual
from normbench.norms import NormSlot

PRODUCTS = (nn.Linear, _ConvNd)
"""Modules that multiply by a matrix or a kernel."""

_NO_ACTIVATIONS = (nn.MultiheadAttention, nn.Softmax, nn.LogSoftmax, nn.Softmax2d, nn.Softmin)
ACTIVATIONS = (
    *(
        cls
        for cls in vars(torch_activations).values()
        if isinstance(cls, type) and issubclass(cls, nn.Module) and cls is not nn.Module
        if cls not in _NO_ACTIVATIONS
    ),
    Linear,
)
"""Modules that act on each number by itself."""

_NORM_FUNCTIONS = {
    getattr(F, name): name
    for name in ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm")
} | {
    getattr(torch, name): name
    for name in ("batch_norm", "layer_norm", "group_norm", "instance_norm", "rms_norm")
}


class NormSite(nn.Module):
    """The placeholder of a norm over ``features``; y = x until a method takes its place.

    default: the norm that the architecture's authors put there; empty where it has none.
    """

    def __init__(self, features: int, default: str = ""):
        super().__init__()
        self.features, self.default = features, default

    def forward(self, x: Tensor) -> Tensor:
        return x


class Untraceable(Exception):
    """The network's forward pass fails. It says where, and the user's own frames follow."""


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
    """What a forward pass tells of a network."""

    slots: tuple[NormSlot, ...]
    layers: tuple[Layer, ...]
    kept: tuple[Kept, ...]
    activations: frozenset[str]
    head: str | None
    output: tuple[int, ...]


@dataclass
class _Call:
    path: str
    module: nn.Module
    number: int
    input: Tensor
    output: Tensor


def is_norm(module: nn.Module) -> bool:
    """Whether this is a norm layer of a known type: a placeholder, torch's or timm's."""
    known = (NormSite, _NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    return isinstance(module, known) or isinstance(module, _timm_norms())


def _timm_norms() -> tuple[type, ...]:
    layers = sys.modules.get("timm.layers")
    names = ("RmsNorm", "RmsNorm2d", "SimpleNorm", "SimpleNorm2d", "GroupNorm1", "LayerNorm2d")
    found = [getattr(layers, name, None) for name in names] if layers else []
    return tuple(cls for cls in found if isinstance(cls, type))


def examine(module: nn.Module, example: Tensor, keep: frozenset[str] = frozenset()) -> Anatomy:
    """The anatomy of ``module`` from one forward pass on ``example`` [2, ...].

    keep: paths of norms to be left alone, or of modules that hold them. Raises Untraceable.
    """
    calls: list[_Call] = []
    functions: dict[str, str] = {}
    output = _forward(module, example, calls, functions)
    return _Reader(module, calls, functions, keep).anatomy(output)


# --- the pass ---

LARGE = 50_000_000
"""Parameters from which on shapes are worked out without values. PyTorch imports its compiler for
that, which takes longer than a pass through a smaller network."""


def _forward(
    module: nn.Module, example: Tensor, calls: list[_Call], functions: dict[str, str]
) -> Tensor:
    """Its output for the example, in evaluation mode; nothing of the network changes.

    A network without values (on the meta device) is run with zeros that take no memory.
    """
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    state: dict[str, Tensor] = {}
    if sum(tensor.numel() for tensor in tensors.values()) > LARGE:
        state = {name: tensor.to("meta") for name, tensor in tensors.items()}
    elif any(tensor.is_meta for tensor in tensors.values()):
        state = {n: torch.zeros((), dtype=t.dtype).expand(t.shape) for n, t in tensors.items()}
    training = module.training
    module.eval()
    try:
        if state:
            device = next(iter(state.values())).device
            try:
                with _watched(module, calls, functions), torch.no_grad():
                    return functional_call(module, state, (example.to(device),))
            except Exception as error:
                if any(tensor.is_meta for tensor in tensors.values()):
                    raise Untraceable(_failure(error, calls, example)) from error
                calls.clear()
                functions.clear()
        with _watched(module, calls, functions), torch.no_grad(), _undisturbed(module):
            try:
                return module(example)  # type: ignore[no-any-return]
            except Exception as error:
                raise Untraceable(_failure(error, calls, example)) from error
    finally:
        module.train(training)


def _failure(error: Exception, calls: list[_Call], example: Tensor) -> str:
    size = "x".join(map(str, example.shape[1:]))
    last = f" after {calls[-1].path}" if calls else ""
    return f"the network fails{last} on images of {size}: {summary_of(error)}"


@contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """Buffers, and the state of the generator, are put back."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        yield
    for name, buffer in module.named_buffers():
        buffer.copy_(buffers[name])


@contextmanager
def _watched(module: nn.Module, calls: list[_Call], functions: dict[str, str]) -> Iterator[None]:
    counts: dict[str, int] = {}
    inside = [0]

    def enter(*_: object) -> None:
        inside[0] += 1

    def leave(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if is_norm(module):
                inside[0] -= 1
            if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
                number = counts.get(path, 0)
                counts[path] = number + 1
                calls.append(_Call(path, module, number, args[0], output))

        return hook

    handles = []
    for path, part in module.named_modules():
        if is_norm(part):
            handles.append(part.register_forward_pre_hook(enter))
        if is_norm(part) or isinstance(part, (*PRODUCTS, *ACTIVATIONS)):
            handles.append(part.register_forward_hook(leave(path)))
    try:
        with _Functional(inside, functions):
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Functional(TorchFunctionMode):
    """Notes norms that are called as functions, which cannot be exchanged."""

    def __init__(self, inside: list[int], found: dict[str, str]):
        super().__init__()
        self.inside, self.found = inside, found

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = _NORM_FUNCTIONS.get(function)
        if name and not self.inside[0]:
            own, torch_home = str(Path(__file__)), str(Path(torch.__file__).parent)
            for frame in reversed(traceback.extract_stack()):
                if not frame.filename.startswith((own, torch_home)):
                    place = f"{Path(frame.filename).name}:{frame.lineno}"
                    self.found.setdefault(place, f"{name}: {frame.line}")
                    break
        return function(*args, **(kwargs or {}))


# --- what it tells ---


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors are one, or views of one."""
    return _base(one) is _base(other)


def _base(tensor: Tensor) -> Tensor:
    return tensor if tensor._base is None else tensor._base


@dataclass
class _Reader:
    """The calls of one pass, read."""

    module: nn.Module
    calls: list[_Call]
    functions: Mapping[str, str]
    keep: frozenset[str]

    def __post_init__(self) -> None:
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
        return Anatomy(slots, self._layers(head), kept, activations, head, shape)

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
                kept[path] = Kept(path, type(part).__name__, "the forward pass never calls it")
            elif (
                "norm" in type(part).__name__.lower()
                and next(part.parameters(False), None) is not None
            ):
                reason = "not a type of norm that is known"
                kept[path] = Kept(path, type(part).__name__, reason)
        for place, name in self.functions.items():
            reason = "called as a function, which cannot be exchanged"
            kept[place] = Kept(place, name, reason)
        return tuple(slots.values()), tuple(kept.values())

    def _reason_to_keep(self, call: _Call) -> str | None:
        held = [p for p in self.keep if call.path == p or call.path.startswith(f"{p}.")]
        if held:
            return "the config keeps it"
        if hasattr(call.module, "parametrizations"):
            return "its own parameters are parametrized"
        own = {id(part) for part in call.module.modules()}
        owners = [o for p in call.module.parameters() for o in self.owners[id(p)]]
        if any(owner not in own for owner in owners):
            return "it shares a parameter with another module"
        return None

    def _producer(self, index: int) -> str | None:
        """The Linear or Conv whose output enters, perhaps behind an activation."""
        entering = self.calls[index].input
        for call in reversed(self.calls[:index]):
            if not _same(call.output, entering):
                continue
            if isinstance(call.module, PRODUCTS):
                return call.path
            if isinstance(call.module, ACTIVATIONS):
                entering = call.input
        return None

    def _activation_after(self, index: int) -> str | None:
        leaving = self.calls[index].output
        for call in self.calls[index + 1 :]:
            if isinstance(call.module, (*PRODUCTS,)) or is_norm(call.module):
                if _same(call.input, leaving):
                    return None
            elif isinstance(call.module, ACTIVATIONS) and _same(call.input, leaving):
                return call.path
        return None

    def _branch(self, path: str) -> str | None:
        inside = [name for name in self.branches if path.startswith(f"{name}.branch.")]
        return max(inside, key=len, default=None)

    def _head(self, output: Any) -> str | None:
        """The last Linear or Conv, where its output are the logits."""
        products = [c for c in self.calls if isinstance(c.module, PRODUCTS)]
        if products and isinstance(output, Tensor) and _same(products[-1].output, output):
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

    def _followers(self, index: int) -> tuple[_Call | None, _Call | None, bool]:
        """The norm and the activation that follow a layer, and whether the norm stands behind."""
        leaving = self.calls[index].output
        norm: _Call | None = None
        activation: _Call | None = None
        behind = False
        for call in self.calls[index + 1 :]:
            if not _same(call.input, leaving):
                continue
            if isinstance(call.module, PRODUCTS):
                break
            if is_norm(call.module):
                if norm is not None:
                    break
                norm, behind, leaving = call, activation is not None, call.output
            elif activation is None:
                activation, leaving = call, call.output
            else:
                break
            if norm is not None and activation is not None:
                break
        return norm, activation, behind


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
