"""Statement 7: layer norm against batch norm in very deep networks.

The rule, fixed here: at two and four times the config's depth and under each initialization, each
norm at its own best rate there, paired by seed by the area under the validation curve. It holds
where batch norm is better beyond doubt, and fails where it is worse or similar. A depth at which
neither trains is open. All comparisons are one family.
"""

from __future__ import annotations

from normbench.analysis.tuning import trains
from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.family import Duel, judged
from normbench.claims.study import BEST, Study, SweepPoint, paired
from normbench.claims.training_effect import AREA, rates_chosen
from normbench.claims.verdicts import Piece, judge
from normbench.report.columns import percent

WITHIN = 0.01


def duels_of(study: Study, batch: str, layer: str) -> list[Duel]:
    """Batch less layer norm at every point, at own best rates."""
    return [
        Duel(
            "less well than batch norm",
            study.situation(sweep_point, rate=BEST),
            batch,
            layer,
            AREA,
            paired(*(study.by_seed(norm, "auc", "best", sweep_point) for norm in (batch, layer))),
            WITHIN,
        )
        for sweep_point in study.sweep_points
    ]


def neither_trains(
    study: Study, norms: tuple[str, ...], sweep_point: SweepPoint, chance: float
) -> bool:
    """Whether no norm's mean accuracy at its own best rate is halfway to the target."""
    return not any(
        trains(study.mean(norm, "val_accuracy", "best", sweep_point), chance, study.target)
        for norm in norms
    )


def examine(context: Context) -> Evidence:
    """Layer against batch norm at two and four times the config's depth."""
    experiment = (
        "layer norm against batch norm in deeper networks, each at its own best rate there, paired "
        "by seed by the area under the validation curve"
    )
    study = context.study("depth")
    if study is None:
        text = "this network has no depth that could be raised"
        return Evidence(judge([]), experiment, context.direct(7), [text])
    norms = batch, layer = context.label("batch"), context.label("layer")
    chance = 1 / context.dataset.num_classes
    pieces, remarks = [], []
    duels = judged(duels_of(study, batch, layer))
    for duel, sweep_point in zip(duels, study.sweep_points, strict=True):
        piece = duel.piece
        accuracies = {norm: study.mean(norm, "val_accuracy", "best", sweep_point) for norm in norms}
        if neither_trains(study, norms, sweep_point, chance):
            piece = Piece(piece.part, piece.situation, None, "neither trains", piece.numbers)
        pieces.append(piece)
        cells = ", ".join(f"{norm} {percent(value)}" for norm, value in accuracies.items())
        remarks.append(f"final accuracy in percent, {piece.where()}: {cells}")
    return Evidence(
        judge(pieces), experiment, [study.command], [*remarks, *rates_chosen(study, batch, layer)]
    )


CLAIMS.register("layer-in-depth")(
    Claim(
        7,
        "very deep: layer norm stabilizes less well than batch norm",
        "In very deep networks layer norm stabilizes training less well than batch norm.",
        examine,
        studies=("depth",),
    )
)
