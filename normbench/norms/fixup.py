"""Fixup: residual networks without norms, by initial values, scalar biases and multipliers."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import nn

from normbench.norms.base import NORMS, Branch, NormSlot, Rule, Traits
from normbench.norms.branches import BranchMethod, Scalar, behind, products_of

if TYPE_CHECKING:
    from normbench.models.network import Network
    from normbench.models.residual import Residual


@NORMS.register("fixup")
class Fixup(BranchMethod):
    """y = skip(x) + s f(x) + b, with the first layers of f small, and its last one zero.

    Of L blocks of m layers: the first m - 1 of a block times L^(-1 / (2m - 2)), the last one and
    the head zero. One learned number as a bias stands before a branch, before and behind each of
    its activations and at its end, there with a multiplier, and at the place of every other norm.
    Zhang, Dauphin & Ma 2019, arXiv:1901.09321.
    """

    revision = 1  # activations were without biases of their own

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        formula="skip(x) + s f(x + b) + b', f zero at the start",
        year=2019,
        paper="Zhang, Dauphin & Ma, arXiv:1901.09321",
        eps="none",
        parameters="3 a block, 2 an activation",
        train_differs=False,
        convention="biases and multipliers at a tenth of the learning rate; what is scaled is the "
        "config's init",
        reference="hongyi-zhang/Fixup: fan-out of He there, shortcuts of average pooling, and "
        "mixup, which are the config's here",
    )
    replaces = frozenset({"norm", "residual", "init"})
    rules = MappingProxyType({"multiplier": Rule(rate=0.1), "shift": Rule(rate=0.1)})

    def norm(self, slot: NormSlot) -> nn.Module:
        return Scalar(shift=0.0)

    def reference(self, slot, x, values, *, training=True):  # type: ignore[no-untyped-def]
        return x + values["shift"]

    def residual(self, block: Residual, branch: Branch) -> None:
        if not any(name.startswith("before") for name in branch.slots):
            block.before = behind(block.before, Scalar(shift=0.0))
        for path in branch.activations:
            if path.startswith(("before", "branch")):
                _between_biases(block, path)
        if isinstance(block.branch, nn.Sequential) and isinstance(block.branch[-1], Scalar):
            block.branch[-1] = nn.Identity()  # one at the place of its last norm is one too many
        block.branch_end = behind(block.branch_end, Scalar(1.0, 0.0))

    def why_reinitialized(self) -> str:
        return "branches small by depth, their last layers and the head zero"

    @torch.no_grad()
    def reinitialize(self, network: Network) -> None:
        blocks = list(network.blocks().values())
        for block in blocks:
            *first, last = products_of(block.branch)
            for layer in first:
                layer.weight.mul_(len(blocks) ** (-1 / (2 * len(first))))  # type: ignore[operator]
            nn.init.zeros_(last.weight)  # type: ignore[arg-type]
        if network.head is not None:
            head = network.module.get_submodule(network.head)
            for parameter in head.parameters():
                parameter.zero_()


def _between_biases(block: nn.Module, path: str) -> None:
    """Put a bias before the activation at ``path``, unless one stands there, and one behind it."""
    parent, _, name = path.rpartition(".")
    parts = block.get_submodule(parent)._modules
    names = list(parts)
    given, ahead = parts[name], names[: names.index(name)]
    assert given is not None
    if ahead and not isinstance(parts[ahead[-1]], Scalar):
        given = behind(Scalar(shift=0.0), given)
    parts[name] = behind(given, Scalar(shift=0.0))
