"""Statement 17: the noise of batch statistics and the gap between training and test accuracy.

The rule, fixed here: training accuracy less test accuracy at the end of training, each norm at its
own best rate, paired by seed under each initialization; layer norm, whose statistics know no other
examples, is the control. It holds where batch norm's gap is smaller beyond doubt, and fails where
it is larger or similar.
"""

from __future__ import annotations

import pandas as pd

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.family import Duel, judged
from normbench.claims.study import BEST, Study, SweepPoint, paired
from normbench.claims.verdicts import judge
from normbench.report.columns import percent

WITHIN = 0.01


def gap(study: Study, norm: str, sweep_point: SweepPoint) -> pd.Series:
    """seed -> training less test accuracy; empty where the training accuracy was not recorded."""
    train, test = (
        study.by_seed(norm, f"{split}_accuracy", "best", sweep_point) for split in ("train", "test")
    )
    return (train - test).dropna()


def examine(context: Context) -> Evidence:
    """Batch against layer norm at own best rates."""
    study = context.base
    batch, layer = context.label("batch"), context.label("layer")
    duels, remarks = [], []
    for sweep_point in study.sweep_points:
        gaps = {norm: gap(study, norm, sweep_point) for norm in (batch, layer)}
        duels.append(
            Duel(
                "the gap is smaller",
                study.situation(sweep_point, rate=BEST),
                layer,
                batch,
                "training less test accuracy",
                paired(gaps[layer], gaps[batch]),
                WITHIN,
            )
        )
        for norm in (batch, layer):
            accuracies = [
                f"{word} {percent(study.mean(norm, f'{word}_accuracy', 'best', sweep_point))}"
                for word in ("train", "test")
            ]
            where = " ".join(map(str, study.situation(sweep_point).values()))
            remarks.append(f"{norm} norm under {where}, in percent: {', '.join(accuracies)}")
    return Evidence(
        judge([duel.piece for duel in judged(duels)]),
        "training less test accuracy of batch and layer norm, paired by seed, at own best rates",
        [study.command],
        remarks,
    )


CLAIMS.register("batch-noise")(
    Claim(
        17,
        "batch norm's noise narrows the gap of training and test",
        "The noise of batch statistics regularizes: batch norm's gap between training and test "
        "accuracy is smaller.",
        examine,
        "Luo et al. 2018, arXiv:1809.00846",
        ("base",),
    )
)
