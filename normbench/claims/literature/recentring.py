"""Zhang & Sennrich: re-centring does not matter, re-scaling does.

The rule, fixed before the run: area under the validation curve in an MLP of 12 layers, each at its
own best rate. RMS norm is no more than two points below layer norm, and batch norm that only
divides no more than two below batch norm; batch norm that only divides is better than batch norm
that only centres, and that is no better than no norm by two points.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published

WITHIN = 0.02

LITERATURE.register("recentring")(
    Published(
        25,
        "re-centring does not matter, re-scaling does",
        "A norm works by dividing by a scale; taking off the mean does not matter.",
        "Zhang & Sennrich 2019, arXiv:1910.07467",
        "without re-centring layer norm loses nothing",
        ["recentring"],
        [
            Ask(
                "re-centring does not matter",
                Of("rms"),
                Of("layer"),
                "auc",
                WITHIN,
                "no less",
                where={"statistics": "of an example"},
            ),
            Ask(
                "re-centring does not matter",
                Of("variance_only"),
                Of("batch"),
                "auc",
                WITHIN,
                "no less",
                where={"statistics": "of the batch"},
            ),
            Ask(
                "re-scaling does",
                Of("variance_only"),
                Of("mean_only"),
                "auc",
                WITHIN,
                where={"statistics": "of the batch"},
            ),
            Ask(
                "centring alone does not help",
                Of("none"),
                Of("mean_only"),
                "auc",
                WITHIN,
                "no less",
                where={"statistics": "of the batch"},
            ),
        ],
        "another depth or activation: the further its mean from zero, the more centring has to do",
    )
)
