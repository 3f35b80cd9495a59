"""Seed noise of CIFAR-10 networks.

The rule, fixed before the run: the standard deviation of the test accuracy over 32 seeds: its 95 %
interval lies between 0.10 and 0.25 points.
"""

from __future__ import annotations

from normbench.claims.asks import Spread
from normbench.claims.published import LITERATURE, Published

LITERATURE.register("seed-noise")(
    Published(
        36,
        "seeds alone move the test accuracy on CIFAR-10 by 0.13 to 0.16 points",
        "The standard deviation of the test accuracy over seeds of CIFAR-10 networks is 0.13 to "
        "0.16 points.",
        "Jordan 2024, arXiv:2404.00498, logs of about 2,000 runs",
        "0.13 to 0.16 points for a network of 94 %",
        ["seed-noise"],
        [Spread("0.10 to 0.25 points", "batch", "test_accuracy", 0.0010, 0.0025)],
        "the accuracy reached, the size of the test set, and the length of the training",
        gpu=True,
    )
)
