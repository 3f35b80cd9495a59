"""Qiao et al.: weight standardization lifts group norm to batch norm at small batches.

The rule, fixed before the run: validation accuracy at the end of a plain CNN, each at its own best
rate. At 2 images a batch standardized weights make group norm better by more than chance, and
bring it to no more than a point below batch norm at 32.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published

SIZE = "data.batch_size"
BOTH = "group on standardized weights"
SMALL = [{SIZE: 2}]

LITERATURE.register("standardized-weights")(
    Published(
        34,
        "weight standardization lifts group norm to batch norm at small batches",
        "At 2 to 4 images a batch weight standardization makes group norm better, as good as batch "
        "norm at large batches.",
        "Qiao et al. 2019, arXiv:1903.10520",
        "ResNet-50 on ImageNet at one image a GPU: a point better than batch norm at 64",
        ["small-batches"],
        [
            Ask(
                "better than group norm", Of(BOTH), Of("group"), "val_accuracy", 0.01, points=SMALL
            ),
            Ask(
                "as good as batch norm at 32",
                Of(BOTH),
                Of("batch", {SIZE: 32}),
                "val_accuracy",
                0.01,
                "no less",
                points=SMALL,
            ),
        ],
        "more passes over the images (two are 71 updates of 32 images, and 1,136 of 2), a deeper "
        "network",
    )
)
