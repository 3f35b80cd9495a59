"""Statement 18: normalization and the initialization.

The rule, fixed here: for each norm, how far the area under the validation curve differs between
the two initializations under none, less how far it does under the norm; absolute values, paired by
seed, at the shared and at each norm's own best rate. It holds where the norm's difference is the
smaller one beyond doubt, and fails where it is larger or similar.
"""

from __future__ import annotations

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.family import Duel, judged
from normbench.claims.study import BEST, ROLES, SHARED, Study, paired
from normbench.claims.verdicts import judge

KEY = "model.init"
NORMALIZED = ("batch", "layer", "rms")
WITHIN = 0.01


def duels_of(study: Study, norms: list[str], none: str) -> list[Duel]:
    """None's dependence on the initialization less each norm's; the first two initializations."""
    first, second = study.sweep_points[:2]
    inits = f"{first[KEY]} and {second[KEY]}"
    duels = []
    for norm in norms:
        for rate in (SHARED, BEST):
            role = ROLES[rate]
            effect = {
                label: (
                    study.by_seed(label, "auc", role, first)
                    - study.by_seed(label, "auc", role, second)
                ).abs()
                for label in (none, norm)
            }
            duels.append(
                Duel(
                    "less sensitive to the initialization",
                    {"norm": norm, "rate": rate},
                    none,
                    norm,
                    f"difference of the area between {inits}",
                    paired(effect[none], effect[norm]),
                    WITHIN,
                )
            )
    return duels


def examine(context: Context) -> Evidence:
    """The effect of the initialization with each norm and without one."""
    experiment = "the effect of the initialization under each norm against that under none"
    study, none = context.base, context.label("none")
    if len(study.sweep_points) < 2:
        text = "this network has no initialization to choose"
        return Evidence(judge([]), experiment, context.direct(18), [text])
    norms = [context.label(kind) for kind in NORMALIZED]
    decided = judged(duels_of(study, norms, none))
    return Evidence(judge([one.piece for one in decided]), experiment, [study.command])


CLAIMS.register("initialization")(
    Claim(
        18,
        "norms make training less sensitive to the initialization",
        "Normalization makes training less sensitive to the initialization.",
        examine,
        studies=("base",),
    )
)
