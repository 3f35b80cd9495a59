"""Luo et al.: switchable norm is at least as good as the best of its parts.

The rule, fixed before the run: validation accuracy at the end of a plain CNN, each at its own best
rate at each batch size: no more than two points below batch, layer and instance norm, at 4 and at
32 images a batch.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published

SIZE = "data.batch_size"

LITERATURE.register("switchable-parts")(
    Published(
        33,
        "switchable norm is at least as good as the best of its parts",
        "Switchable norm is at least as good as the best of batch, layer and instance norm, "
        "whatever the size of the batch.",
        "Luo et al. 2018, arXiv:1806.10779",
        "it learns which of the three to use, and beats batch and group norm from 2 to 32 images",
        ["switchable-parts"],
        [
            Ask(
                "no worse than each part",
                Of("switchable"),
                Of(part),
                "val_accuracy",
                0.02,
                "no less",
                points=[{SIZE: 4}, {SIZE: 32}],
                where={"rival": f"{part} norm"},
            )
            for part in ("batch", "layer", "instance")
        ],
        "a longer training, in which the weights of its parts can move further from a third each",
    )
)
