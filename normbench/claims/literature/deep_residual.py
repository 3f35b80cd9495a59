"""Zhang et al., De & Smith: deep residual networks without norms need Fixup or SkipInit.

The rule, fixed before the run: validation accuracy at the end of a residual MLP of 50 blocks, each
at its own best rate. Without a norm it stays below 50 %; Fixup and SkipInit come within two points
of batch norm.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of, level
from normbench.claims.published import LITERATURE, Published

ACCURACY = "val_accuracy"

LITERATURE.register("deep-residual")(
    Published(
        28,
        "a deep residual net without norms fails, with Fixup or SkipInit it trains",
        "A deep residual network without norms does not train; with Fixup or SkipInit it trains as "
        "well as with batch norm.",
        "Zhang, Dauphin & Ma 2019, arXiv:1901.09321; De & Smith 2020, arXiv:2002.10444",
        "Fixup trains networks of 10,000 layers; SkipInit takes one number a block",
        ["deep-residual"],
        [
            Ask("without a norm it fails", level(0.5), Of("none"), ACCURACY, 0.02),
            *(
                Ask(
                    "trains as well as with batch norm",
                    Of(method),
                    Of("batch"),
                    ACCURACY,
                    0.02,
                    "no less",
                    where={"method": method},
                )
                for method in ("fixup", "skipinit")
            ),
        ],
        "smaller rates than 0.001, a clipped gradient, or images that batch norm regularizes on",
    )
)
