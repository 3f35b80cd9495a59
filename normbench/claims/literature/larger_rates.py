"""Bjorck et al.: batch norm allows larger rates, and that is most of what it does.

The rule, fixed before the run: the largest rate of the grid that trains, by tuning seed, is larger
under batch norm; and its lead in the area under the validation curve is smaller at own best rates
than at the rate of 0.1.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published
from normbench.claims.study import BEST, SHARED

LITERATURE.register("own-best-rates")(
    Published(
        22,
        "batch norm allows larger rates; at each one's own best its lead shrinks",
        "Batch norm allows larger learning rates; where each network has its own best rate, the "
        "lead of batch norm shrinks.",
        "Bjorck et al. 2018, arXiv:1806.02375; De & Smith 2020, arXiv:2002.10444",
        "at a small rate the networks are level; what batch norm gains comes with the large rate",
        ["larger-rates"],
        [
            Ask(
                "allows larger rates",
                Of("batch"),
                Of("none"),
                "largest_rate",
                0.25,
            ),
            Ask(
                "the lead shrinks",
                Of("batch", rate=SHARED),
                Of("none", rate=SHARED),
                "auc",
                0.02,
                beyond=(Of("batch", rate=BEST), Of("none", rate=BEST)),
            ),
        ],
        "another shared rate than 0.1, a deeper network, or a larger batch",
    )
)
