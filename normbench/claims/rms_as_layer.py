"""Statement 14: RMS norm against layer norm in quality.

The rule, fixed here: the area under the validation curve, paired by seed, under each
initialization, at the shared and at each norm's own best rate. It holds where the interval lies
above -``WITHIN``, and fails where RMS norm is worse beyond doubt.
"""

from __future__ import annotations

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.family import judged
from normbench.claims.training_effect import AREA, at_both_rates, rates_chosen
from normbench.claims.verdicts import judge

WITHIN = 0.02
"""Two points of the mean accuracy over the budget: what one would not give up a layer for."""


def examine(context: Context) -> Evidence:
    """RMS norm is no worse than layer norm by more than the margin."""
    study = context.base
    rms, layer = context.label("rms"), context.label("layer")
    duels = at_both_rates(study, rms, layer, "as good", "auc", AREA, WITHIN, "no less")
    return Evidence(
        judge([duel.piece for duel in judged(duels)]),
        f"RMS norm against layer norm, paired by seed: no worse by more than {WITHIN} of the "
        "area under the validation curve",
        [study.command],
        rates_chosen(study, rms, layer),
        {"within": WITHIN},
    )


CLAIMS.register("rms-as-layer")(
    Claim(
        14,
        "RMS norm is as good as layer norm",
        "RMS norm is as good as layer norm, though it does not re-centre.",
        examine,
        "Zhang & Sennrich 2019, arXiv:1910.07467",
        ("base",),
    )
)
