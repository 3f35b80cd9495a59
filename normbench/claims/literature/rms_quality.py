"""Zhang & Sennrich: RMS norm matches layer norm in quality.

The rule, fixed before the run: area under the validation curve, each at its own best rate, in an
MLP, a CNN and a vision transformer: RMS norm is no more than two points below layer norm.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published

LITERATURE.register("rms-quality")(
    Published(
        24,
        "RMS norm matches layer norm in an MLP, a CNN and a transformer",
        "RMS norm matches layer norm in quality. (Whether it costs less is statement 10.)",
        "Zhang & Sennrich 2019, arXiv:1910.07467",
        "equal quality in translation, reading, images and a CNN, at 7 to 64 % less time",
        ["recentring", "norms-in-cnn", "norms-in-vit"],
        [
            Ask(
                "as good",
                Of("rms"),
                Of("layer"),
                "auc",
                0.02,
                "no less",
                config=config,
                where={"network": network},
            )
            for config, network in (
                ("recentring", "MLP"),
                ("norms-in-cnn", "CNN"),
                ("norms-in-vit", "ViT"),
            )
        ],
        "a smaller margin than two points, or a network whose activations have a large mean",
    )
)
