"""SkipInit: a learned multiplier on every residual branch, zero at the start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from normbench.norms.base import NORMS, Branch, Traits
from normbench.norms.branches import BranchMethod, Scalar, behind

if TYPE_CHECKING:
    from normbench.models.residual import Residual


@NORMS.register("skipinit", aliases=("skip_init",))
class SkipInit(BranchMethod):
    """y = skip(x) + alpha f(x), one alpha a block, 0 at the start; no norms.

    De & Smith 2020, arXiv:2002.10444.
    """

    @dataclass(frozen=True)
    class Options:
        """start: of alpha."""

        start: float = 0.0

    traits = Traits(
        statistics="none",
        centered=False,
        plain=False,
        formula="skip(x) + alpha f(x), alpha 0 at the start",
        year=2020,
        paper="De & Smith, arXiv:2002.10444",
        eps="none",
        parameters="1 a block",
        train_differs=False,
        convention="one multiplier a block; layers with biases, which model.bias decides",
        reference="google-deepmind deepmind-research skipinit_resnet.py: pre-activation; equal",
    )

    def residual(self, block: Residual, branch: Branch) -> None:
        block.branch_end = behind(block.branch_end, Scalar(self.options.start))
