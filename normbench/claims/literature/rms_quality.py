"""Zhang & Sennrich: RMS norm matches layer norm in quality.

The rule, fixed before the run: validation accuracy at the end, each at its own best rate, in an
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
        ["layer-or-rms-mlp", "layer-or-rms-cnn", "layer-or-rms-vit"],
        [
            Ask(
                "as good",
                Of("rms"),
                Of("layer"),
                "val_accuracy",
                0.02,
                "no less",
                config=config,
                where={"network": network},
            )
            for config, network in (
                ("layer-or-rms-mlp", "MLP"),
                ("layer-or-rms-cnn", "CNN"),
                ("layer-or-rms-vit", "ViT"),
            )
        ],
        "a smaller margin than two points, or a network whose activations have a large mean",
        amended="the setting is a second one: a first, by the area under the curve of shorter "
        "trainings at 8 to 12 seeds, could tell nothing in two of three networks; these and their "
        "rule stood before their runs",
    )
)
