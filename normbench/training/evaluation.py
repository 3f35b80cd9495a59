"""What stands for a batch's statistics while a network is evaluated, and that nothing stays of it.

Batch norm is another function in evaluation than in training: running averages of earlier weights'
statistics take the place of the batch's own. What a comparison puts down to the norm may be that
step alone (Singh & Shrivastava 2019, arXiv:1904.06031; Wu & Johnson 2021, arXiv:2105.07576), so it
is a factor: ``ema``, the running ones; ``precise``, statistics of the training split under the
weights as they are; ``batch``, those of each evaluated batch, as in training.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from normbench.norms import EvalStatistics
from normbench.seeding import stream

Indices = npt.NDArray[np.int64]

PRECISE_EXAMPLES, PRECISE_BATCH = 4096, 256
"""Of the training split, for statistics in place of the running ones, and how many at a time."""


def keepers(network: nn.Module) -> list[nn.Module]:
    """The layers that keep running statistics, by a momentum that is the newest batch's weight.

    Less those compiled by torch.jit, whose momentum is fixed.
    """
    return [
        module
        for module in network.modules()
        if hasattr(module, "momentum")
        and not isinstance(module, torch.jit.ScriptModule)
        and any(name.startswith("running_") for name, _ in module.named_buffers(recurse=False))
    ]


@contextmanager
def evaluation(
    network: nn.Module, statistics: EvalStatistics, gather: Callable[[nn.Module], None]
) -> Iterator[None]:
    """``network`` in evaluation mode, with the ``statistics`` asked for.

    gather: lets ``precise_over`` see the batches that ``precise`` statistics are taken over.
    Afterwards momenta and buffers are what they were, and the network is in training mode: training
    goes on as if nobody had looked.
    """
    moved = [] if statistics == "ema" else keepers(network)
    before = [(m, m.momentum, [buffer.clone() for buffer in m.buffers()]) for m in moved]
    network.eval()
    try:
        if statistics == "precise" and moved:
            gather(network)
        if statistics == "batch":
            for module in moved:
                module.training = True  # it alone, and not what it may hold
                module.momentum = 0.0  # type: ignore[assignment]
        yield
    finally:
        for module, momentum, buffers in before:
            module.momentum = momentum
            for buffer, value in zip(module.buffers(), buffers, strict=True):
                buffer.copy_(value)
        network.train()


def precise_over(network: nn.Module, passes: Iterator[Callable[[], object]]) -> None:
    """Mean and unbiased variance averaged over the batches of ``passes``, forward passes each.

    With the weights as they are, where the running ones still hold those of earlier weights and of
    augmented images: Wu & Johnson 2021, arXiv:2105.07576, section 3. What a method takes from its
    running statistics in training as well (batch renormalization, power norm) it takes here.
    """
    moved = keepers(network)
    for number, forward in enumerate(passes, 1):
        for module in moved:
            module.training = True
            module.momentum = 1 / number  # type: ignore[assignment]
        forward()
    for module in moved:
        module.training = False


def precise_batches(indices: Indices, batch_size: int, seed: int) -> list[Indices]:
    """Of the training split, in an order of their own, batches at least as large as in training."""
    size = max(PRECISE_BATCH, batch_size)
    few = stream(seed, "precise").permutation(indices)[:PRECISE_EXAMPLES]
    return [few[i : i + size] for i in range(0, max(len(few) - size, 0) + 1, size)]


def batches_as_in_training(indices: Indices, batch_size: int, seed: int) -> Sequence[Indices]:
    """All ``indices`` in batches of a training batch's size, or some more than it and none less.

    Drawn, since a dataset may be sorted by class, which no batch of training is.
    """
    mixed = stream(seed, "evaluation batches").permutation(indices)
    return np.array_split(mixed, max(1, len(mixed) // batch_size))
