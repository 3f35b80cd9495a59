"""Zhu et al.: dynamic tanh equals layer norm in a ViT, and loses to batch norm in a plain CNN.

The rule, fixed before the run: area under the validation curve, each at its own best rate. In a
vision transformer dynamic tanh is no more than two points below layer norm, started from alpha 0.5
and from 2; in a plain CNN batch norm is better than it.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published

LITERATURE.register("dynamic-tanh")(
    Published(
        30,
        "dynamic tanh equals layer norm in a ViT, and loses to batch norm in a CNN",
        "Dynamic tanh is as good as layer norm in a vision transformer; in a plain convolutional "
        "network it does not replace batch norm.",
        "Zhu et al. 2025, arXiv:2503.10622",
        "ViT-B on ImageNet: 82.5 % under dynamic tanh, 82.3 % under layer norm; no replacement of "
        "batch norm in ConvNets of the classic kind",
        ["norms-in-vit", "norms-in-cnn"],
        [
            *(
                Ask(
                    "equals layer norm in a ViT",
                    Of(label),
                    Of("layer"),
                    "auc",
                    0.02,
                    "no less",
                    where={"alpha": alpha},
                )
                for label, alpha in (("dyt", 0.5), ("dyt from alpha 2", 2.0))
            ),
            Ask(
                "loses to batch norm in a CNN",
                Of("batch"),
                Of("dyt"),
                "auc",
                0.02,
                config="norms-in-cnn",
            ),
        ],
        "the alpha that it starts from, the width, and how long it trains",
    )
)
