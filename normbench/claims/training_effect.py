"""Statements 3, 6, 12 and 13: what a norm does for training, against none.

The rule, fixed here: every comparison is paired by seed, under each initialization, with

- *stabilizes*: the share of the grid's rates at which a run trains, and the final validation
  accuracy (chance after a divergence) at the shared and at each norm's own best rate;
- *speeds up*: the area under the validation curve at the shared and at each norm's own best rate.

A part holds where the norm is better beyond doubt, and fails where it is worse or similar. All
comparisons of a statement are one family.
"""

from __future__ import annotations

from functools import partial

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.family import Asks, Duel, judged
from normbench.claims.study import BEST, ROLES, SHARED, Study, paired
from normbench.claims.verdicts import judge
from normbench.report.columns import number

WITHIN = 0.01
"""A point of accuracy, or of the area under its curve, is the smallest difference that matters."""
GRID_WITHIN = 0.05
"""Of the share of rates that train: a third of a step on a grid of seven."""

STABILIZES, SPEEDS_UP = "stabilizes", "speeds up"
AREA = "area under the validation curve"
ACCURACY = "final validation accuracy"


def at_both_rates(
    study: Study,
    first: str,
    second: str,
    part: str,
    column: str,
    quantity: str,
    within: float,
    asks: Asks = "more",
) -> list[Duel]:
    """The runs' ``column`` compared at every point, at the shared and at own best rates."""
    return [
        Duel(
            part,
            study.situation(sweep_point, rate=rate),
            first,
            second,
            quantity,
            paired(*(study.by_seed(n, column, ROLES[rate], sweep_point) for n in (first, second))),
            within,
            asks,
        )
        for sweep_point in study.sweep_points
        for rate in (SHARED, BEST)
    ]


def over_the_grid(study: Study, first: str, second: str, part: str) -> list[Duel]:
    """The share of the grid's rates that train, compared at every point."""
    return [
        Duel(
            part,
            study.situation(sweep_point, rate="all rates of the grid"),
            first,
            second,
            "share of the rates that train",
            paired(*(study.share_that_trains(norm, sweep_point) for norm in (first, second))),
            GRID_WITHIN,
        )
        for sweep_point in study.sweep_points
    ]


def rates_chosen(study: Study, *norms: str) -> list[str]:
    """A sentence a point: each norm's own best rate."""
    sentences = []
    for sweep_point in study.sweep_points:
        rates = ", ".join(f"{norm} {number(study.rate(norm, sweep_point))}" for norm in norms)
        where = " ".join(map(str, study.situation(sweep_point).values()))
        sentences.append(f"own best rates under {where}: {rates}")
    return sentences


def steps_to_target(study: Study, *norms: str) -> list[str]:
    """A sentence a point: how many runs of each norm reached the target, at the shared rate."""
    sentences = []
    for sweep_point in study.sweep_points:
        cells = []
        for norm in norms:
            runs = study.runs(norm, "report", sweep_point)
            if len(runs):
                median = number(float(runs["steps_to_target"].median()))
                diverged = int((runs["state"] == "diverged").sum())
                lost = f", {diverged} diverged" if diverged else ""
                reached = int(runs["reached"].sum())
                cells.append(f"{norm} {reached}/{len(runs)}, median {median} steps{lost}")
        where = " ".join(map(str, study.situation(sweep_point).values()))
        sentences.append(
            f"target {study.target:g} at the shared rate under {where}: " + "; ".join(cells)
        )
    return sentences


def examine(context: Context, *, kind: str, parts: tuple[str, ...]) -> Evidence:
    """A norm against none under every initialization, over the grid, at shared and best rates."""
    study = context.base
    norm, none = context.label(kind), context.label("none")
    duels: list[Duel] = []
    if STABILIZES in parts:
        duels += over_the_grid(study, norm, none, STABILIZES)
        duels += at_both_rates(study, norm, none, STABILIZES, "val_accuracy", ACCURACY, WITHIN)
    if SPEEDS_UP in parts:
        duels += at_both_rates(study, norm, none, SPEEDS_UP, "auc", AREA, WITHIN)
    return Evidence(
        judge([duel.piece for duel in judged(duels)]),
        f"{norm} norm against none, paired by seed, under each initialization, over a grid of "
        "learning rates, at the shared and at each norm's own best rate",
        [study.command],
        [*steps_to_target(study, norm, none), *rates_chosen(study, norm, none)],
    )


def _register(name: str, number: int, short: str, statement: str, kind: str, *parts: str) -> None:
    claim = Claim(
        number, short, statement, partial(examine, kind=kind, parts=parts), studies=("base",)
    )
    CLAIMS.register(name)(claim)


_register(
    "batch-training",
    3,
    "batch norm stabilizes and speeds up",
    "Batch norm stabilizes training and speeds up convergence.",
    "batch",
    STABILIZES,
    SPEEDS_UP,
)
_register(
    "layer-training",
    6,
    "layer norm stabilizes",
    "Layer norm stabilizes training.",
    "layer",
    STABILIZES,
)
_register(
    "rms-training",
    12,
    "RMS norm stabilizes and speeds up",
    "RMS norm stabilizes training and speeds up convergence.",
    "rms",
    STABILIZES,
    SPEEDS_UP,
)
_register(
    "layer-speed",
    13,
    "layer norm speeds up",
    "Layer norm speeds up convergence.",
    "layer",
    SPEEDS_UP,
)
