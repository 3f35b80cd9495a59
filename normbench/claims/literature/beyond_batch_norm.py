"""Nam & Kim, Singh & Krishnan: batch-instance norm and filter response norm beat batch norm.

The rule, fixed before the run: validation accuracy at the end of a ResNet-8 (v2, so that an
activation follows every norm), each at its own best rate: better by more than chance; differences
below half a point do not matter.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published

LITERATURE.register("beyond-batch-norm")(
    Published(
        32,
        "batch-instance norm and filter response norm beat batch norm",
        "Batch-instance norm and filter response norm are better than batch norm in residual "
        "networks.",
        "Nam & Kim 2018, arXiv:1805.07925; Singh & Krishnan 2019, arXiv:1911.09737",
        "up to a point and more of accuracy on CIFAR and ImageNet; others could not repeat either",
        ["beyond-batch-norm"],
        [
            Ask(
                "beats batch norm",
                Of(norm),
                Of("batch"),
                "val_accuracy",
                0.005,
                where={"norm": name},
            )
            for norm, name in (
                ("batch_instance", "batch-instance norm"),
                ("frn", "filter response norm"),
            )
        ],
        "photographs, whose styles differ, a longer training, or batches below 16",
    )
)
