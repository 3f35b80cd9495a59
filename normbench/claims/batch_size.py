"""Statement 4: batch norm and the batch size.

The rule, fixed here: what a smaller batch does to batch norm's final validation accuracy, less
what it does to layer norm's (the control, which does not look at the batch), paired by seed: a
difference of differences. Once after equally many images and once after equally many updates.

- *depends on the batch size*: at some size batch norm loses more than the control beyond doubt;
  fails where at every size the loss is proven to be less than ``WITHIN``;
- *robust*: at every size from a ``ROBUST_SHARE`` of the config's on, the interval of the
  interaction lies above -``WITHIN``; fails where it loses beyond doubt.

All comparisons are one family. Where batch norm does not train at the config's own size it has
nothing to lose, and all is open. How much of it is evaluation alone is told beside: the accuracy
with statistics recomputed over the training split less that with the running ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from normbench.analysis.tuning import trains
from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.family import Duel, Judged, judged, signed
from normbench.claims.study import SHARED, Study, paired
from normbench.claims.verdicts import Part, Piece, judge
from normbench.report.columns import percent

KEY = "data.batch_size"
WITHIN = 0.02
"""Two points of accuracy are the loss that one would notice."""
ROBUST_SHARE = 1 / 4
BUDGETS = {"batch-size": "equal images", "batch-size-updates": "equal updates"}


def interactions(study: Study, batch: str, control: str, reference: int, budget: str) -> list[Duel]:
    """A duel for every smaller size: batch norm's change from the reference less the control's."""
    duels = []
    for sweep_point in study.sweep_points:
        size = sweep_point[KEY]
        if size == reference:
            continue
        change = {}
        for norm in (batch, control):
            here, there = (
                study.by_seed(norm, "val_accuracy", "report", {**sweep_point, KEY: value})
                for value in (size, reference)
            )
            change[norm] = here - there
        situation = study.situation(sweep_point, budget=budget, rate=SHARED)
        duels.append(
            Duel(
                "robust",
                situation,
                f"{batch} norm's change from {reference}",
                f"{control} norm's",
                "final validation accuracy",
                paired(change[batch], change[control]),
                WITHIN,
                "no less",
            )
        )
    return duels


def pieces_of(duels: Sequence[Judged], reference: int, *, trained: bool = True) -> list[Piece]:
    """The pieces of the statement from its duels."""
    pieces = []
    for budget in dict.fromkeys(one.duel.situation["budget"] for one in duels):
        here = [one for one in duels if one.duel.situation["budget"] == budget]
        depends: Part = None
        if any(one.holds is False for one in here):
            depends = True
        elif all(one.holds for one in here):
            depends = False
        common = {k: v for k, v in here[0].duel.situation.items() if k != "batch size"}
        lost = [one.duel.situation["batch size"] for one in here if one.holds is False]
        why = f"loses beyond doubt at {', '.join(map(str, lost)) or 'no size'}"
        pieces.append(Piece("depends on the batch size", common, depends, why, {"lost_at": lost}))
        pieces += [
            one.piece
            for one in here
            if one.duel.situation["batch size"] >= reference * ROBUST_SHARE
        ]
    if not trained:
        pieces = [replace(piece, holds=None) for piece in pieces]
    return pieces


def evaluation_alone(study: Study, batch: str) -> dict[int, float]:
    """size -> accuracy with recomputed less that with running statistics; NaN if not recorded."""
    gains = {}
    for sweep_point in study.sweep_points:
        columns = ("val_accuracy_precise", "val_accuracy")
        precise, running = (study.by_seed(batch, c, "report", sweep_point) for c in columns)
        gain = (precise - running).dropna()
        gains[int(sweep_point[KEY])] = float(gain.mean()) if len(gain) else math.nan
    return gains


def examine(context: Context) -> Evidence:
    """Batch norm at smaller batches, against what the same batches do to layer norm."""
    reference = context.config.data.batch_size
    batch, control = context.label("batch"), context.label("layer")
    experiment = (
        f"batch norm at smaller batches than {reference} against the same change under {control} "
        "norm, paired by seed by final validation accuracy"
    )
    studies = {name: study for name in BUDGETS if (study := context.study(name)) is not None}
    if not studies:
        text = f"there is no batch size below {reference} that batch norm can take"
        return Evidence(judge([]), experiment, context.direct(4), [text])
    duels: list[Duel] = []
    remarks = []
    numbers: dict[str, Any] = {"reference": reference, "within": WITHIN}
    trained = True
    for name, study in studies.items():
        budget = BUDGETS[name]
        duels += interactions(study, batch, control, reference, budget)
        accuracies = {
            norm: {
                int(sweep_point[KEY]): study.mean(norm, "val_accuracy", "report", sweep_point)
                for sweep_point in study.sweep_points
            }
            for norm in (batch, control)
        }
        trained &= trains(
            accuracies[batch][reference], 1 / context.dataset.num_classes, study.target
        )
        for norm, by_size in accuracies.items():
            cells = ", ".join(f"{size}: {percent(value)}" for size, value in by_size.items())
            remarks.append(f"{budget}, {norm} norm's accuracy in percent by batch size: {cells}")
        alone = evaluation_alone(study, batch)
        known = {size: gain for size, gain in alone.items() if not math.isnan(gain)}
        if known:
            cells = ", ".join(f"{size}: {signed(100 * gain)}" for size, gain in known.items())
            remarks.append(
                f"{budget}, of it evaluation alone (recomputed statistics in place of running "
                f"ones), in points: {cells}"
            )
        numbers[budget] = {"accuracy": accuracies, "evaluation_alone": alone}
    if not trained:
        remarks.insert(0, f"batch norm does not train at {reference}, so it has nothing to lose")
    return Evidence(
        judge(pieces_of(judged(duels), reference, trained=trained)),
        experiment,
        [study.command for study in studies.values()],
        remarks,
        numbers,
    )


CLAIMS.register("batch-size")(
    Claim(
        4,
        "batch norm depends on the batch size, but is robust",
        "Batch norm depends on the batch size but is robust over a wide range of it.",
        examine,
        "Wu & He 2018, arXiv:1803.08494",
        tuple(BUDGETS),
    )
)
