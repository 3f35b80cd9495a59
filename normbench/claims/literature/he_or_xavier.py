"""He et al.: without a norm Xavier's initialization stalls 30 layers, He's trains them.

The rule, fixed before the run: validation accuracy at the end, each at its own best rate. Without a
norm and under Xavier's initialization it stays below 20 %, under He's it comes above 50 %; and the
difference is larger than under layer norm, which the scale of the weights does not touch.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of, level
from normbench.claims.published import LITERATURE, Published

INIT = "model.init"
ACCURACY = "val_accuracy"
HE, XAVIER = {INIT: "he_normal"}, {INIT: "xavier_normal"}

LITERATURE.register("he-or-xavier")(
    Published(
        27,
        "without a norm Xavier stalls at 30 layers and He trains",
        "A network of 30 layers of ReLU without a norm does not train under Xavier's "
        "initialization, and trains under He's.",
        "He et al. 2015, arXiv:1502.01852",
        "a model of 30 layers: Xavier's completely stalls, He's converges",
        ["he-or-xavier"],
        [
            Ask(
                "Xavier stalls",
                level(0.2),
                Of("none", XAVIER),
                ACCURACY,
                0.02,
            ),
            Ask(
                "He trains",
                Of("none", HE),
                level(0.5),
                ACCURACY,
                0.02,
            ),
            Ask(
                "the initialization matters more than under layer norm",
                Of("none", HE),
                Of("none", XAVIER),
                ACCURACY,
                0.02,
                beyond=(Of("layer", HE), Of("layer", XAVIER)),
            ),
        ],
        "fewer layers, a longer training, or an optimizer that scales its steps (adam)",
    )
)
