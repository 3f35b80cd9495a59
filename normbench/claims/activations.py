"""Statement 1: what happens inside a deep network without normalization.

The rule, fixed here, under each initialization:

- *activations vary*: at step 0 the median standard deviations by layer differ by a factor of
  ``verdicts.VARIES`` or more;
- *gradients vanish*: the interval over seeds of the squared gradient's growth per layer lies below
  the border at which it changes by 10,000 over 100 layers;
- *slow*: some norm has more area under the validation curve than none beyond doubt, at the shared
  and at own best rates; fails where every norm is similar or worse;
- *unstable*: under some norm more of the grid's rates train.

All trained comparisons are one family.
"""

from __future__ import annotations

import math

import numpy as np

from normbench.analysis.intervals import mean_interval
from normbench.analysis.signal import growth_of_rows
from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.family import Duel, any_better, judged
from normbench.claims.study import Study, SweepPoint
from normbench.claims.training_effect import (
    AREA,
    WITHIN,
    at_both_rates,
    over_the_grid,
    rates_chosen,
)
from normbench.claims.verdicts import Piece, below, judge, varies
from normbench.report.columns import number

NORMALIZED = ("batch", "layer", "rms")
BORDER = 1e-4 ** (1 / 100)
"""Growth per layer at which the squared gradient shrinks by 10,000 over 100 layers."""


def layers_at_start(
    study: Study, norm: str, sweep_point: SweepPoint
) -> tuple[list[float], np.ndarray]:
    """At step 0: the median activation std by layer [L], and ln of the gradient's growth per layer
    of every seed. Both empty where nothing was probed; -inf where a gradient vanished.
    """
    spread = study.probed(norm, "activation_out_std", sweep_point)
    gradient = study.probed(norm, "activation_gradient", sweep_point)
    if spread.empty or gradient.empty:
        return [], np.array([])
    with np.errstate(divide="ignore"):
        growth = np.log(growth_of_rows(gradient.to_numpy()))
    return spread.median().tolist(), growth


def inside(study: Study, norm: str, sweep_point: SweepPoint) -> list[Piece]:
    """The two parts that are seen at step 0."""
    stds, growth = layers_at_start(study, norm, sweep_point)
    where = study.situation(sweep_point)
    drift = f"standard deviation {number(stds[0], 2)} to {number(stds[-1], 2)}" if stds else ""
    low = high = middle = math.nan
    growth = growth[~np.isnan(growth)]
    if len(growth) and np.isneginf(growth).all():
        low = high = middle = -math.inf
    elif len(growth) > 1 and np.isfinite(growth).all():
        middle = float(growth.mean())
        low, high = (float(end[0]) for end in mean_interval(growth[None]))
    told = (
        f"squared gradient x{number(math.exp(middle))} a layer toward the input "
        f"({number(math.exp(low))} to {number(math.exp(high))})"
        if not math.isnan(middle)
        else "not measured"
    )
    numbers = {
        "growth_per_layer": math.exp(middle),
        "ci_low": math.exp(low),
        "ci_high": math.exp(high),
    }
    return [
        Piece("activations vary", where, varies(stds), drift, {"activation_std": stds}),
        Piece("gradients vanish", where, below(low, high, math.log(BORDER)), told, numbers),
    ]


def examine(context: Context) -> Evidence:
    """Activations and gradients at the start, and the training, without a norm."""
    study, none = context.base, context.label("none")
    norms = [context.label(kind) for kind in NORMALIZED]
    duels: list[Duel] = []
    for norm in norms:
        duels += at_both_rates(study, norm, none, "slow", "auc", AREA, WITHIN)
        duels += over_the_grid(study, norm, none, "unstable")
    decided = judged(duels)
    pieces = [piece for at in study.sweep_points for piece in inside(study, none, at)]
    groups = dict.fromkeys((d.part, tuple(d.situation.items())) for d in duels)
    for part, situation in groups:
        same = [
            one
            for one in decided
            if (one.duel.part, tuple(one.duel.situation.items())) == (part, situation)
        ]
        pieces.append(any_better(part, dict(situation), same))
    return Evidence(
        judge(pieces),
        "un-normalized network: activations and gradients by layer at step 0; its training paired "
        "by seed with the normalized ones, under each initialization",
        [study.command],
        rates_chosen(study, none, *norms),
    )


CLAIMS.register("activations")(
    Claim(
        1,
        "without a norm: activations vary, gradients vanish, slow, unstable",
        "In a deep network without normalization activations vary from layer to layer; gradients "
        "vanish, and training is slow and unstable.",
        examine,
        studies=("base",),
    )
)
