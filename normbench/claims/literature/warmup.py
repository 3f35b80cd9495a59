"""Xiong et al.: post-norm transformers need warm-up, pre-norm ones do not.

The rule, fixed before the run: area under the validation curve of a vision transformer of 12 blocks
under Adam, at two rates. Warm-up gains the one with norms behind the sum more than the one with
norms before the branch; and that one loses no more than two points without it.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published
from normbench.claims.study import SHARED

POSITION, WARMUP = "model.norm_position", "optimizer.warmup_steps"
RATE = "optimizer.lr"
WITHIN = 0.02


def at(position: str, steps: int) -> Of:
    """Layer norm at a position, after so many steps of warm-up."""
    return Of("layer", {POSITION: position, WARMUP: steps})


RATES = [{RATE: 0.001}, {RATE: 0.003}]

LITERATURE.register("warmup")(
    Published(
        29,
        "post-norm needs warm-up, pre-norm does not",
        "A transformer with layer norm behind the sum needs a warm-up of the learning rate, one "
        "with layer norm before the branch does not.",
        "Xiong et al. 2020, arXiv:2002.04745",
        "without warm-up the post-norm transformer trains badly, at large rates not at all",
        ["warmup"],
        [
            Ask(
                "post-norm needs warm-up",
                at("post", 40),
                at("post", 0),
                "auc",
                WITHIN,
                beyond=(at("pre", 40), at("pre", 0)),
                points=RATES,
                rates=[SHARED],
            ),
            Ask(
                "pre-norm does not",
                at("pre", 0),
                at("pre", 40),
                "auc",
                WITHIN,
                "no less",
                points=RATES,
                rates=[SHARED],
            ),
        ],
        "a deeper or wider transformer, text in place of images, or a longer warm-up",
    )
)
