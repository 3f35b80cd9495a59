"""A residual network as theory takes it: its operations in order, with their gains at step 0.

Operations are lists of names and numbers, so that a run's record holds them:

    ["linear", gain, bias]             gain: fan_in * mean(W^2); bias: mean square
    ["conv", gain, bias, kernel, stride]   zero-padded to the same size
    ["norm"]                           a layer of the method's law
    ["act", name]
    ["scale", factor]
    ["pad", share, stride]             so much of the channels is new, and zero
    ["block", {before, branch, end, skip, after: operations, or None for the identity;
               skip_scale, scale}]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from normbench.models.activations import ACTIVATIONS
from normbench.models.kinds.resnet import PaddedShortcut
from normbench.models.network import Network
from normbench.models.residual import Residual
from normbench.norms.base import Norm
from normbench.norms.layouts import FeaturesFirst, Rows

Operation = list[Any]


class Unknown(Exception):
    """A module that theory does not know, named in the message."""


def outline(network: Network) -> tuple[Operation, ...]:
    """The operations of a network whose parts are called in the order in which they stand.

    Up to the head. Raises Unknown.
    """
    if not network.blueprint.architecture.in_order:
        raise Unknown("the order in which a network of this kind calls its parts")
    at = {id(network.module.get_submodule(slot.path)) for slot in network.slots}
    head = None if network.head is None else network.module.get_submodule(network.head)
    return tuple(_of_all((m for m in network.module.children() if m is not head), at))


def _of_all(modules: Iterable[nn.Module], norms: set[int]) -> list[Operation]:
    return [operation for module in modules for operation in _of(module, norms)]


def _of(module: nn.Module, norms: set[int]) -> list[Operation]:
    if isinstance(module, Residual):
        return [["block", _block(module, norms)]]
    if isinstance(module, nn.Sequential | nn.ModuleList):
        return _of_all(module, norms)
    if type(module) in ACTIVATIONS.values():
        known = {made: name for name, made in ACTIVATIONS.items()}
        return [["act", known[type(module)]]]
    if isinstance(module, nn.Identity):
        return [["norm"]] if id(module) in norms else []
    if isinstance(module, nn.Linear):
        return [["linear", *_gain(module)]]
    if isinstance(module, nn.Conv2d):
        size, stride = module.kernel_size[0], module.stride[0]
        return [["conv", *_gain(module), size, stride]]
    if isinstance(module, PaddedShortcut):
        return [["pad", module.share, module.stride]]
    factor = getattr(module, "factor", None)
    if isinstance(factor, float):
        return [["scale", factor]]
    if id(module) in norms or isinstance(module, Norm | Rows | FeaturesFirst):
        return [["norm"]]
    raise Unknown(type(module).__name__.strip("_"))


def _block(block: Residual, norms: set[int]) -> dict[str, Any]:
    skip = block.skip
    return {
        "before": _of(block.before, norms),
        "branch": _of(block.branch, norms),
        "end": _of(block.branch_end, norms),
        "skip": None if isinstance(skip, nn.Identity) else _of(skip, norms),
        "after": _of(block.after, norms),
        "skip_scale": float(block.skip_scale),
        "scale": float(block.scale),
    }


def _gain(module: nn.Module) -> tuple[float, float]:
    assert isinstance(module.weight, Tensor)
    bias = module.bias
    shift = 0.0 if bias is None else float(bias.detach().double().square().mean())  # type: ignore[operator]
    square = float(module.weight.detach().double().square().mean())
    return round(module.weight[0].numel() * square, 6), shift
