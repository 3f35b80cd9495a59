"""One forward pass through a network, watched: which norms, weight layers and activations it calls.

The pass runs on two examples in evaluation mode, and the network's state is put back after it.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
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


@dataclass
class Call:
    """One call of a module, its first input and its output; number: from 0, of this module's."""

    path: str
    module: nn.Module
    number: int
    input: Tensor
    output: Tensor


def is_norm(module: nn.Module) -> bool:
    """Whether this is a norm layer of a known type: a placeholder, torch's or timm's."""
    known = (NormSite, _NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
    return isinstance(module, (*known, *_timm_norms()))


def _timm_norms() -> tuple[type, ...]:
    layers = sys.modules.get("timm.layers")
    names = ("RmsNorm", "RmsNorm2d", "SimpleNorm", "SimpleNorm2d", "GroupNorm1", "LayerNorm2d")
    found = [getattr(layers, name, None) for name in names] if layers else []
    return tuple(cls for cls in found if isinstance(cls, type))


LARGE = 50_000_000
"""Parameters from which on shapes are worked out without values. PyTorch imports its compiler for
that, which takes longer than a pass through a smaller network."""


def forward(
    module: nn.Module, example: Tensor, calls: list[Call], functions: dict[str, str]
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
                return module(example)
            except Exception as error:
                raise Untraceable(_failure(error, calls, example)) from error
    finally:
        module.train(training)


def _failure(error: Exception, calls: list[Call], example: Tensor) -> str:
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
def _watched(module: nn.Module, calls: list[Call], functions: dict[str, str]) -> Iterator[None]:
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
                calls.append(Call(path, module, number, args[0], output))

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
