"""One forward pass through a network, watched: which norms, weight layers and activations it calls.

The pass runs on two examples in evaluation mode, and the network's state is put back after it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.modules import activation as torch_activations
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.overrides import TorchFunctionMode

from normbench.components import summary_of
from normbench.models.activations import Linear

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


class NoLogits(Untraceable):
    """What the network returns has no logits where the config says. hint: the remedy."""

    def __init__(self, message: str, hint: str = ""):
        super().__init__(message)
        self.hint = hint


@dataclass
class Call:
    """One call of a module, its first input and its output; number: from 0, of this module's.

    entered, left: how often the input had been written into before the call, and the output after.
    """

    path: str
    module: nn.Module
    number: int
    input: Tensor
    output: Tensor
    entered: int
    left: int

    def leads_to(self, later: Call) -> bool:
        """Whether what leaves here enters there, as it is or seen in another shape."""
        return base(self.output) is base(later.input) and self.left == later.entered


def base(tensor: Tensor) -> Tensor:
    """The tensor that this one is a view of; itself, if of none."""
    return tensor if tensor._base is None else tensor._base


@dataclass
class Pass:
    """A forward pass, as far as it came.

    functions: FILE.py:LINE -> what is normalized by a function there. by_keyword:
    paths of what is called without a positional argument. under_way: the modules entered and not
    left, outermost first, each with what enters.
    """

    calls: list[Call] = field(default_factory=list)
    by_keyword: set[str] = field(default_factory=set)
    functions: dict[str, str] = field(default_factory=dict)
    under_way: list[tuple[str, nn.Module, Any]] = field(default_factory=list)

    def clear(self) -> None:
        """Forget all of it."""
        for seen in (self.calls, self.by_keyword, self.functions, self.under_way):
            seen.clear()


def is_norm(module: nn.Module) -> bool:
    """Whether this is a norm layer of a known type: a placeholder, torch's or timm's."""
    known = (NormSite, _NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    return isinstance(module, (*known, *_timm_norms()))


def _timm_norms() -> tuple[type, ...]:
    layers = sys.modules.get("timm.layers")
    names = ("RmsNorm", "RmsNorm2d", "SimpleNorm", "SimpleNorm2d", "GroupNorm1", "LayerNorm2d")
    known = [getattr(layers, name, None) for name in names] if layers else []
    return tuple(cls for cls in known if isinstance(cls, type))


LARGE = 50_000_000
"""Parameters from which on shapes are worked out without values. PyTorch imports its compiler for
that, which takes longer than a pass through a smaller network."""


def forward(module: nn.Module, example: Tensor, seen: Pass) -> Tensor:
    """Its output for the example, in evaluation mode; nothing of the network changes.

    A network without values (on the meta device) is run with zeros that take no memory. Raises
    Untraceable.
    """
    tensors = dict([*module.named_parameters(), *module.named_buffers()])
    state: dict[str, Tensor] = {}
    bodiless = any(tensor.is_meta for tensor in tensors.values())
    if sum(tensor.numel() for tensor in tensors.values()) > LARGE:
        state = {name: tensor.to("meta") for name, tensor in tensors.items()}
    elif bodiless:
        state = {n: torch.zeros((), dtype=t.dtype).expand(t.shape) for n, t in tensors.items()}
    with _in_mode(module, training=False):
        if state:
            device = next(iter(state.values())).device
            try:
                with _watched(module, seen), torch.no_grad():
                    return functional_call(module, state, (example.to(device),))
            except Exception as error:
                if bodiless or isinstance(error, Untraceable):
                    raise _failure(error, seen, example) from error
                seen.clear()
        with _watched(module, seen), torch.no_grad(), _undisturbed(module):
            try:
                return module(example)
            except Exception as error:
                raise _failure(error, seen, example) from error


def materialize(module: nn.Module, example: Tensor) -> None:
    """Let lazy modules learn their sizes from the example, and draw what they then have.

    Raises Untraceable.
    """
    if not any(map(is_lazy, (*module.parameters(), *module.buffers()))):
        return
    seen = Pass()
    with _in_mode(module, training=False), torch.no_grad(), _watched(module, seen):
        try:
            module(example)
        except Exception as error:
            raise _failure(error, seen, example) from error


@dataclass(frozen=True)
class Trained:
    """What a forward pass in training mode tells.

    draws: whether it takes numbers from PyTorch's generator, for dropout or stochastic depth, as a
    module or as a function; norms: paths of those it calls; output: what it returns.
    """

    draws: bool
    norms: frozenset[str]
    output: Any


def in_training(module: nn.Module, example: Tensor) -> Trained:
    """One forward pass in training mode; nothing of the network changes. Raises Untraceable."""
    seen = Pass()
    with _in_mode(module, training=True), torch.no_grad(), _undisturbed(module):
        torch.manual_seed(0)
        before = torch.get_rng_state()
        try:
            with _watched(module, seen):
                output = module(example)
        except Exception as error:
            raise _failure(error, seen, example, " in training") from error
        drawn = not torch.get_rng_state().equal(before)
    norms = frozenset(call.path for call in seen.calls if is_norm(call.module))
    return Trained(drawn, norms, output)


def _failure(error: Exception, seen: Pass, example: Tensor, when: str = "") -> Untraceable:
    if isinstance(error, Untraceable):
        return error
    size = _sizes(example)
    where = f" after {seen.calls[-1].path}" if seen.calls else ""
    if seen.under_way:
        path, module, entering = seen.under_way[-1]
        gets = f", which gets {_sizes(entering)}," if isinstance(entering, Tensor) else ""
        where = f" in {path} ({type(module).__name__}){gets}"
    return Untraceable(f"the network fails{where}{when} on images of {size}: {summary_of(error)}")


def _sizes(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape[1:])) or "one number"


@contextmanager
def _in_mode(module: nn.Module, *, training: bool) -> Iterator[None]:
    """All parts in training or evaluation mode; afterwards each in the one it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.train(training)
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def _undisturbed(module: nn.Module) -> Iterator[None]:
    """Buffers, and the state of the generator, are put back."""
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    with torch.random.fork_rng(devices=[]):
        yield
    for name, buffer in module.named_buffers():
        before = buffers.get(name)
        if before is not None and before.shape == buffer.shape:  # else a cache, which may grow
            buffer.copy_(before)


@contextmanager
def _watched(module: nn.Module, seen: Pass) -> Iterator[None]:
    counts: dict[str, int] = {}
    inside = [0]
    entered: list[int] = []

    def enter(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...]) -> None:
            first = args[0] if args else None
            seen.under_way.append((path, module, first))
            entered.append(first._version if isinstance(first, Tensor) else 0)
            inside[0] += is_norm(module)

        return hook

    def leave(path: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            seen.under_way.pop()
            before = entered.pop()
            inside[0] -= is_norm(module)
            if not (is_norm(module) or isinstance(module, (*PRODUCTS, *ACTIVATIONS))):
                return
            if args and isinstance(args[0], Tensor) and isinstance(output, Tensor):
                number = counts.get(path, 0)
                counts[path] = number + 1
                call = Call(path, module, number, args[0], output, before, output._version)
                seen.calls.append(call)
            elif not args:
                seen.by_keyword.add(path)

        return hook

    handles = []
    parameters = {name for name, _ in module.named_parameters()}
    for path, part in module.named_modules():
        if path and not isinstance(part, torch.jit.ScriptModule):  # which takes no hooks
            handles.append(part.register_forward_pre_hook(enter(path)))
            handles.append(part.register_forward_hook(leave(path)))
    try:
        with _Functional(inside, seen.functions):
            yield
    finally:
        for handle in handles:
            handle.remove()
    made = [name for name, _ in module.named_parameters() if name not in parameters]
    if made:
        raise Untraceable(
            f"the network makes {', '.join(made[:5])} in its forward pass, where nobody draws or "
            f"trains them: make all parameters in its constructor"
        )


class _Functional(TorchFunctionMode):
    """Notes norms that are called as functions, which cannot be exchanged."""

    def __init__(self, inside: list[int], functions: dict[str, str]):
        super().__init__()
        self.inside, self.functions = inside, functions

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = _NORM_FUNCTIONS.get(function)
        if name and not self.inside[0]:
            own, torch_home = str(Path(__file__)), str(Path(torch.__file__).parent)
            for frame in reversed(traceback.extract_stack()):
                if not frame.filename.startswith((own, torch_home)):
                    line = f"{Path(frame.filename).name}:{frame.lineno}"
                    self.functions.setdefault(line, f"{name}: {frame.line}")
                    break
        return function(*args, **(kwargs or {}))
