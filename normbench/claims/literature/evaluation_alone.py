"""Singh & Shrivastava: much of batch norm's loss at small batches is evaluation alone.

The rule, fixed before the run: in an MLP at 2 images a batch, what statistics of the whole training
set give back at evaluation (validation accuracy with them less that with running statistics) is
more than a quarter of what batch norm lost from 32 images a batch, where it lost at all.
"""

from __future__ import annotations

from normbench.claims.asks import Ask, Of
from normbench.claims.published import LITERATURE, Published

SIZE = "data.batch_size"

LITERATURE.register("evaluation-alone")(
    Published(
        21,
        "a good part of batch norm's loss at small batches is evaluation only",
        "A good part (here: a quarter) of what batch norm loses at small batches is lost at "
        "evaluation, by its running statistics, and not in training.",
        "Singh & Shrivastava 2019, arXiv:1904.06031; Wu & Johnson 2021, arXiv:2105.07576",
        "corrected statistics at evaluation bring back most of the accuracy at 2 images a batch",
        ["small-batches-mlp"],
        [
            Ask(
                "a quarter of the loss",
                Of("batch", metric="val_accuracy_precise"),
                Of("batch", metric="val_accuracy"),
                "val_accuracy",
                0.005,
                beyond=(Of("batch", {SIZE: 32}), Of("batch")),
                share=0.25,
                points=[{SIZE: 2}],
            )
        ],
        "another momentum of the running statistics, or images that a network knows less well than "
        "the digits",
        presumes=[
            Ask(
                "batch norm loses from 32 images a batch to 2",
                Of("batch", {SIZE: 32}),
                Of("batch", {SIZE: 2}),
                "val_accuracy",
                0.005,
            )
        ],
        amended="the setting is another one: in a first, two passes of a CNN over the digits, "
        "batch norm led at 2 images, so there was no loss to share; there being one became a "
        "condition, and an MLP took the CNN's place before its runs",
    )
)
