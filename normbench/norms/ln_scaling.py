"""LayerNorm scaling: what a pre-norm hands on, less the deeper it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

from annotated_types import Ge

from normbench.norms.base import NORMS, Branch, Traits
from normbench.norms.branches import PlacementMethod, Times, behind

if TYPE_CHECKING:
    from normbench.models.residual import Residual


@NORMS.register("ln_scaling", aliases=("layernorm_scaling", "lns"))
class LayerNormScaling(PlacementMethod):
    """y = x + f(norm(x) / sqrt(l)), l the number of the layer, from 1.

    Sun et al. 2025, arXiv:2502.05795.
    """

    @dataclass(frozen=True)
    class Options:
        """norm: the layer that stands at every place, under the experiment's policy.

        branches: residual branches of one layer, which share its number; 2 in a transformer.
        """

        norm: Literal["layer", "rms"] = "layer"
        branches: Annotated[int, Ge(1)] = 2

    traits = Traits(
        statistics=None,
        centered=None,
        plain=False,
        batch_dependent=False,
        formula="x + f(norm(x) / sqrt(l)), l the layer's number",
        year=2025,
        paper="Sun et al., arXiv:2502.05795",
        train_differs=False,
        convention="l from 1, two branches a layer; the last norm is not scaled",
        reference="lmsdss/LayerNorm-Scaling: equal; at 3ac54dd a comparison of letters makes its "
        "layers hand their input on. Not to be combined with initial values by depth",
    )

    def residual(self, block: Residual, branch: Branch) -> None:
        number = branch.index // self.options.branches + 1
        if "before" in branch.slots:
            block.before = behind(block.before, Times(number**-0.5))
