"""Statement 15: batch norm and the learning rate.

The rule, fixed here: under each initialization, log10 of the grid's largest rate at which a run
trains, paired by seed over the tuning seeds. It holds where batch norm's is larger beyond doubt,
and fails where it is smaller or within half a step of the grid.
"""

from __future__ import annotations

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.family import Duel, judged
from normbench.claims.study import Study, paired
from normbench.claims.verdicts import judge
from normbench.report.columns import number

SHARE_OF_STEP = 0.5


def duels_of(study: Study, norm: str, none: str) -> list[Duel]:
    """The largest rates, compared at every point."""
    return [
        Duel(
            "allows larger rates",
            study.situation(sweep_point),
            norm,
            none,
            "log10 of the largest rate that trains",
            paired(*(study.largest_rate(label, sweep_point) for label in (norm, none))),
            SHARE_OF_STEP * study.grid_step,
        )
        for sweep_point in study.sweep_points
    ]


def examine(context: Context) -> Evidence:
    """The largest rate that trains, of the same grid for both."""
    study = context.base
    norm, none = context.label("batch"), context.label("none")
    remarks = []
    for sweep_point in study.sweep_points:
        cells = []
        for label in (norm, none):
            median = 10 ** study.largest_rate(label, sweep_point).median()
            cell = "none of the grid" if median < min(study.grid) * 0.99 else number(median)
            cells.append(f"{label} {cell}")
        where = " ".join(map(str, study.situation(sweep_point).values()))
        remarks.append(f"median largest rate under {where}: {', '.join(cells)}")
    grid = ", ".join(f"{rate:g}" for rate in study.grid)
    return Evidence(
        judge([duel.piece for duel in judged(duels_of(study, norm, none))]),
        f"the largest of the rates {grid} at which a run trains, paired by seed",
        [study.command],
        remarks,
    )


CLAIMS.register("larger-rates")(
    Claim(
        15,
        "batch norm allows larger learning rates",
        "Batch norm allows larger learning rates.",
        examine,
        "Bjorck et al. 2018, arXiv:1806.02375",
        ("base",),
    )
)
