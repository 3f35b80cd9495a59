"""Normalizer-free residual networks: scaled branches and standardized weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from annotated_types import Gt
from torch import nn

from normbench.norms.base import NORMS, Branch, NormPolicy, Traits
from normbench.norms.branches import BranchMethod, Scalar, Times, behind
from normbench.norms.scaled_weight_standardization import ScaledStandardized, gain_of

if TYPE_CHECKING:
    from normbench.models.network import Network
    from normbench.models.residual import Residual


@NORMS.register("nf_resnet", aliases=("nfnet", "normalizer_free"))
class NFResNet(BranchMethod):
    """y = skip(x) + alpha s f(x / beta), with scaled weight standardization and no norms.

    beta: the standard deviation that the block's input has at the start, by arithmetic: the
    variance grows by alpha^2 a block, and is 1 + alpha^2 behind a block that changes the shape. s:
    one learned number a block, 0 at the start. Brock, De & Smith 2021, arXiv:2101.08692.
    """

    @dataclass(frozen=True)
    class Options:
        """alpha: the scale of a branch; start: of the learned number s."""

        alpha: Annotated[float, Gt(0)] = 0.2
        start: float = 0.0

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        over="the weights of an output",
        formula="skip(x) + alpha s f(x / beta), with scaled weight standardization",
        year=2021,
        paper="Brock, De & Smith, arXiv:2101.08692",
        eps="none",
        parameters="1 an output of a layer, 1 a block",
        train_differs=False,
        convention="alpha .2; s 0 at the start; no adaptive gradient clipping",
        reference="google-deepmind nfnets; timm starts the last gain of a block at 0 and leaves s "
        "off",
    )
    replaces = frozenset({"norm", "weight", "residual"})

    def __init__(self, policy: NormPolicy, options: Options, *, strict: bool = False):
        super().__init__(policy, options, strict=strict)
        self._variance = 1.0  # of the input of the block that comes next

    def weight(
        self, layer: nn.Module, path: str = "", network: Network | None = None
    ) -> nn.Module | None:
        return ScaledStandardized(len(layer.weight), gain_of(path, network))  # type: ignore[arg-type]

    def residual(self, block: Residual, branch: Branch) -> None:
        if branch.index == 0:
            self._variance = 1.0
        block.before = behind(block.before, Times(1 / math.sqrt(self._variance)))
        block.branch_end = behind(block.branch_end, Scalar(self.options.start))
        block.scale = self.options.alpha
        if not isinstance(block.skip, nn.Identity):
            self._variance = 1.0
        self._variance += self.options.alpha**2
