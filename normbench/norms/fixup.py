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
    the head zero. One learned number as a bias stands at every place of a norm, before a branch,
    behind each of its activations and at its end, there with a multiplier. Zhang, Dauphin & Ma
    2019, arXiv:1901.09321.
    """

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        formula="skip(x) + s f(x + b) + b', f zero at the start",
        year=2019,
        paper="Zhang, Dauphin & Ma, arXiv:1901.09321",
        eps="none",
        parameters="1 a norm, 3 a block",
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
