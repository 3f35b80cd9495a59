"""Peri-LN: a norm before and one behind every residual branch."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from normbench.norms.base import NORMS, Branch, Traits
from normbench.norms.branches import PlacementMethod, behind, features_behind
from normbench.norms.layouts import layer_at

if TYPE_CHECKING:
    from normbench.models.residual import Residual


@NORMS.register("peri_ln", aliases=("peri_norm", "peri"))
class PeriLN(PlacementMethod):
    """y = x + norm(f(norm(x))).

    Kim et al. 2025, arXiv:2502.02732.
    """

    traits = Traits(
        statistics=None,
        centered=None,
        plain=False,
        batch_dependent=False,
        formula="x + norm(f(norm(x)))",
        year=2025,
        paper="Kim et al., arXiv:2502.02732",
        train_differs=False,
        convention="both norms of one kind; the embedding is not normalized besides",
        reference="no code of the authors was read; Gemma 2 has the same order",
    )

    def residual(self, block: Residual, branch: Branch) -> None:
        if "before" not in branch.slots or "branch_end" in branch.slots:
            return
        slot = branch.slots["before"]
        features = features_behind(block.branch, slot)
        if slot.feature_dim == 1:
            shape = (features, *slot.shape[1:])
        else:
            shape = (*slot.shape[:-1], features)
        end = replace(slot, features=features, shape=shape)
        block.branch_end = behind(block.branch_end, layer_at(self.inner, end))
