"""The transform alone, for training code of one's own: a module with its norms exchanged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor, nn

from normbench.components import UnknownName, short
from normbench.errors import ConfigError, Problem, suggest
from normbench.models.apply import apply, verify
from normbench.models.assemble import problem_of, start_from_data
from normbench.models.base import Architecture, ModelSettings
from normbench.models.foreign import Foreign, ForeignOptions
from normbench.models.network import Blueprint, Network, Swap
from normbench.models.slots import Kept, examine
from normbench.models.trace import Untraceable, is_norm, materialize
from normbench.norms import NORMS, NormMethod, NormPolicy
from normbench.norms.base import Axes
from normbench.swapped import arrow, in_pytorch


@dataclass(frozen=True)
class SwapReport:
    """A module whose norms were exchanged, and what was done.

    module: the one that was given; norm: the name; swaps: slot, what stood there and what stands
    there now, as plain PyTorch writes it where it can; kept: norms that stay, and why;
    reinitialized: other parameters that have another value now.
    """

    module: nn.Module
    norm: str
    swaps: tuple[Swap, ...]
    kept: tuple[Kept, ...]
    reinitialized: tuple[str, ...]

    def lines(self) -> list[str]:
        """One for every slot: ``layer1.0.bn1: nn.BatchNorm2d(64) -> nn.GroupNorm(8, 64)``."""
        return [f"{swap.slot.path}: {arrow(swap.before, swap.after)}" for swap in self.swaps]

    def __str__(self) -> str:
        count = len(self.swaps)
        said = [f"{count} {'norm' if count == 1 else 'norms'} exchanged for {self.norm}"]
        said += [f"  {line}" for line in in_pytorch((s.before, s.after) for s in self.swaps)]
        if self.kept:
            said += [f"{len(self.kept)} kept"]
            said += [f"  {kept.path} ({kept.kind}): {kept.reason}" for kept in self.kept]
        if self.reinitialized:
            said += [f"other values: {', '.join(self.reinitialized)}"]
        return "\n".join(said)


def swap(
    module: nn.Module,
    norm: str,
    *,
    example: Tensor,
    keep: Sequence[str] = (),
    eps: float = 1e-5,
    affine: bool = True,
    momentum: float = 0.1,
    axes: Axes = "chw",
    **options: Any,
) -> SwapReport:
    """Exchange the norms of ``module``, in place, for those of a method: ``swap(net, "rms",
    example=x)``.

    norm: a name, ``file.py:Name`` or ``package.module:Name``; options: of that method, such as
    ``groups=16``. example: a batch that the module can be called with, two examples or more, on its
    device. keep: paths of norms that stay, or of modules that hold them. eps, affine, momentum,
    axes: of every new norm, as in a config. A new norm starts as its method starts it (one that
    goes by data, by the example), on the device and in the type of the one before; make the
    optimizer afterwards, so that it knows the new parameters. Raises ConfigError, and then nothing
    has been changed.
    """
    method = _method(norm, NormPolicy(eps, affine, momentum, axes), options)
    blueprint = _Given("module", ForeignOptions(keep=list(keep)), ModelSettings())
    if example.ndim < 2 or len(example) < 2:
        raise ConfigError([Problem("example", "must be a batch [N, ...] of two or more examples")])
    if is_norm(module):
        told = "the module is itself a norm; give the network that it stands in"
        raise ConfigError([Problem("module", told)])
    try:
        materialize(module, example)
        anatomy = examine(module, example, blueprint.keep)
    except Untraceable as error:
        raise ConfigError([Problem("example", str(error))]) from error.__cause__
    wrong = problem_of(blueprint, anatomy, method, len(example))
    if wrong:
        raise ConfigError([Problem("norm", wrong)])
    network = Network(
        module, blueprint, method, anatomy.slots, anatomy.layers, anatomy.kept, "", draws=False
    )
    inside = {id(p) for part in network.norms() for p in part.parameters()}
    before = {
        name: parameter.detach().clone()
        for name, parameter in module.named_parameters()
        if id(parameter) not in inside and not parameter.is_meta  # which has no values
    }
    given = {slot.path: module.get_submodule(slot.path) for slot in anatomy.slots}
    apply(network, anatomy)
    for path in (swapped.slot.path for swapped in network.swaps):
        old = given[path]
        module.get_submodule(path).to(_home(old, example)).train(old.training)
    verify(network, before)
    if method.starts_from_data():
        start_from_data(network, example, 0)
    return SwapReport(module, short(norm), network.swaps, network.kept, network.reinitialized)


def _method(norm: str, policy: NormPolicy, options: Mapping[str, Any]) -> NormMethod:
    try:
        kind = NORMS[norm]
    except UnknownName as error:
        raise ConfigError([Problem("norm", error.message, error.hint)]) from None
    known = [option.name for option in fields(kind.Options)]
    if wrong := [option for option in options if option not in known]:
        told = [
            Problem("norm", f"{short(norm)} has no option {o!r}", suggest(o, known)) for o in wrong
        ]
        raise ConfigError(told)
    return kind(policy, kind.Options(**options))


def _home(given: nn.Module, example: Tensor) -> Tensor:
    """A tensor of the device and the type that the layer's parameters have."""
    return next((p for p in given.parameters() if p.is_floating_point()), example)


class _Given(Blueprint):
    """Of a module that stands already."""

    @property
    def architecture(self) -> type[Architecture]:
        return Foreign
