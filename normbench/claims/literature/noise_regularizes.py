"""Luo et al.: the noise of batch norm regularizes.

The rule, fixed before the run: the gap between training and test accuracy of a plain CNN, each at
its own best rate: smaller under batch norm than without a norm and than under layer norm, which has
no noise; gaps that differ by less than half a point do not matter.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published

LITERATURE.register("noise-regularizes")(
    Published(
        35,
        "batch norm's noise regularizes: its gap to the test accuracy is smaller",
        "The noise in batch norm's statistics regularizes: the gap between training and test "
        "accuracy is smaller under it.",
        "Luo et al. 2018, arXiv:1809.00846",
        "batch norm generalizes better than a norm without noise",
        ["noise-regularizes"],
        [
            Ask("the gap is smaller", Of(other), Of("batch"), "gap", 0.005, where={"than": name})
            for other, name in (("none", "without a norm"), ("layer", "under layer norm"))
        ],
        "more training images, a smaller batch (more noise), or a network that fits less well",
    )
)
