"""Yang et al.: batch norm MLPs stop training beyond about 50 layers.

The rule, fixed before the run: validation accuracy at the end, each at its own best rate. At 60
layers batch norm stays below 20 %; at 10 layers it comes above 80 %; and from 10 to 60 layers it
loses more than a network without a norm under He's initialization does.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of, level
from normbench.claims.published import LITERATURE, Published

DEPTH = "model.depth"
ACCURACY = "val_accuracy"

LITERATURE.register("deep-batch-norm")(
    Published(
        26,
        "batch norm MLPs stop training beyond about 50 layers",
        "Batch norm makes gradients explode with depth: plain MLPs of more than about 50 layers do "
        "not train under it.",
        "Yang et al. 2019, arXiv:1902.08129",
        "the squared gradient grows 1.47-fold a layer under ReLU; about 50 layers are the end",
        ["deep-batch-norm"],
        [
            Ask(
                "it stops training",
                level(0.2),
                Of("batch", {DEPTH: 60}),
                ACCURACY,
                0.02,
            ),
            Ask(
                "it trains at 10 layers",
                Of("batch", {DEPTH: 10}),
                level(0.8),
                ACCURACY,
                0.02,
            ),
            Ask(
                "it loses more than no norm",
                Of("batch", {DEPTH: 10}),
                Of("batch", {DEPTH: 60}),
                ACCURACY,
                0.02,
                beyond=(Of("none", {DEPTH: 10}), Of("none", {DEPTH: 60})),
            ),
        ],
        "a longer training, a linear activation, or skip connections",
    )
)
