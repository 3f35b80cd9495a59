"""Ba et al.: layer norm loses to batch norm in convolutional networks.

The rule, fixed before the run: area under the validation curve, each at its own best rate, in a
plain CNN on the digits, on MNIST and on CIFAR-10 at 16 pixels: batch norm is better, and a
difference below two points does not matter.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published

LITERATURE.register("layer-in-cnn")(
    Published(
        23,
        "layer norm loses to batch norm in convolutional networks",
        "In convolutional networks layer norm loses to batch norm.",
        "Ba, Kiros & Hinton 2016, arXiv:1607.06450, section 6.7",
        "layer norm trains faster than no norm, and batch norm outperforms it",
        ["norms-in-cnn", "norms-in-cnn-mnist", "norms-in-cnn-cifar"],
        [
            Ask(
                "batch norm is better",
                Of("batch"),
                Of("layer"),
                "auc",
                0.02,
                config=config,
                where={"data": data},
            )
            for config, data in (
                ("norms-in-cnn", "digits"),
                ("norms-in-cnn-mnist", "MNIST"),
                ("norms-in-cnn-cifar", "CIFAR-10, JPEG copy"),
            )
        ],
        "layer norm over the channels alone (normalization.axes: c), larger images, residual nets",
    )
)
