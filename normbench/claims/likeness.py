"""Statement 19: whether examples become alike in deep networks.

The rule, fixed here: ln of the effective rank of the last hidden layer's activations at step 0,
under batch norm less that under layer norm, paired by seed, at two and four times the config's
depth and under each initialization. It holds where batch norm's is larger beyond doubt, and fails
where it is smaller or within 10 %.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.family import Duel, judged
from normbench.claims.study import Study, SweepPoint, paired
from normbench.claims.verdicts import judge
from normbench.report.columns import number

WITHIN = math.log(1.1)


def last_rank(study: Study, norm: str, sweep_point: SweepPoint) -> pd.Series:
    """seed -> ln of the effective rank at the last hidden layer; empty if it was not probed."""
    ranks = study.probed(norm, "effective_rank", sweep_point)
    return np.log(ranks.iloc[:, -1]) if len(ranks) else pd.Series(dtype=float)


def examine(context: Context) -> Evidence:
    """Batch against layer norm at step 0."""
    experiment = "effective rank of a batch's activations at the last hidden layer, at step 0"
    study = context.study("depth")
    if study is None:
        text = "this network has no depth that could be raised"
        return Evidence(judge([]), experiment, context.direct(19), [text])
    batch, layer = context.label("batch"), context.label("layer")
    duels, remarks = [], []
    for sweep_point in study.sweep_points:
        ranks = {norm: last_rank(study, norm, sweep_point) for norm in (batch, layer)}
        duels.append(
            Duel(
                "keeps examples apart",
                study.situation(sweep_point),
                batch,
                layer,
                "ln of the effective rank",
                paired(ranks[batch], ranks[layer]),
                WITHIN,
            )
        )
        where = " ".join(map(str, study.situation(sweep_point).values()))
        cells = [f"{norm} {number(float(np.exp(r.median())))}" for norm, r in ranks.items()]
        remarks.append(f"median effective rank under {where}: {', '.join(cells)}")
    decided = judged(duels)
    return Evidence(judge([one.piece for one in decided]), experiment, [study.command], remarks)


CLAIMS.register("likeness")(
    Claim(
        19,
        "very deep: batch norm keeps examples apart, layer norm does not",
        "In very deep networks the examples of a batch become alike under layer norm, and batch "
        "norm keeps them apart.",
        examine,
        "Daneshmand et al. 2020, arXiv:2003.01652",
        ("depth",),
    )
)
