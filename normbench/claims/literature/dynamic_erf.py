"""Dynamic erf is better than dynamic tanh and layer norm.

The rule, fixed before the run: area under the validation curve of a vision transformer, each at its
own best rate: better than either by more than chance; differences below a point do not matter.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published

LITERATURE.register("dynamic-erf")(
    Published(
        31,
        "dynamic erf is better than dynamic tanh and than layer norm",
        "Dynamic erf is better than dynamic tanh and than layer norm.",
        "arXiv:2512.10938",
        "ViT-B on ImageNet: 82.8 % under dynamic erf, 82.5 % under dynamic tanh, 82.3 % under "
        "layer norm",
        ["norms-in-vit"],
        [
            Ask(f"better than {name}", Of("derf"), Of(label), "auc", 0.01)
            for label, name in (("dyt", "dynamic tanh"), ("layer", "layer norm"))
        ],
        "the alpha that they start from, the width, and how long they train",
    )
)
