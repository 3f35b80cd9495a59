"""Mix-LN: the first layers post-norm, the others pre-norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge, Le

from normbench.norms.base import NORMS, Branch, Traits
from normbench.norms.branches import PlacementMethod, to_post

if TYPE_CHECKING:
    from normbench.models.residual import Residual


@NORMS.register("mix_ln", aliases=("mixln",))
class MixLN(PlacementMethod):
    """y = norm(x + f(x)) in the first layers, y = x + f(norm(x)) in the others.

    Li, Yin & Liu 2024, arXiv:2412.13795.
    """

    @dataclass(frozen=True)
    class Options:
        """norm: the layer that stands at every place, under the experiment's policy.

        post: share of the blocks, from the input, that have it behind the sum.
        """

        norm: Literal["layer", "rms"] = "layer"
        post: Annotated[float, Ge(0), Le(1)] = 0.25

    traits = Traits(
        statistics=None,
        centered=None,
        plain=False,
        batch_dependent=False,
        formula="norm(x + f(x)) in the first quarter of the blocks, x + f(norm(x)) in the others",
        year=2024,
        paper="Li, Yin & Liu, arXiv:2412.13795",
        train_differs=False,
        convention="the share of post-norm blocks .25, rounded to whole blocks",
        reference="pixeli99/MixLN: 3 of 12 and 6 of 24 layers; equal",
    )

    def residual(self, block: Residual, branch: Branch) -> None:
        if branch.index < round(self.options.post * branch.depth):
            to_post(block)
