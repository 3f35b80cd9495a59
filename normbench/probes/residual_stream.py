"""What the skips of residual blocks carry, told at each layer of a block.

Of networks whose residual blocks are of a known kind (``models.residual.Residual``); there is
nothing to tell of others.
"""

from torch import Tensor

from normbench.probes.base import PROBES, Capture, Probe


def identity_share(capture: Capture) -> Tensor | None:
    """Mean square of the skip over that of skip plus branch, of the layer's block; else NaN. [L]

    De & Smith 2020, arXiv:2002.10444, explain by it why batch norm trains deep residual networks.
    """
    return capture.of_blocks(capture.identity_shares)


def block_square(capture: Capture) -> Tensor | None:
    """Mean square of what enters the layer's block, over the batch and all units; else NaN. [L]"""
    return capture.of_blocks({n: x.float().square().mean() for n, x in capture.streams.items()})


def block_gradient(capture: Capture) -> Tensor | None:
    """norm(dL/dx) over the whole batch, x what enters the layer's block; else NaN. [L]"""
    return capture.of_blocks({n: g.float().norm() for n, g in capture.stream_gradients.items()})


PROBES.register("identity_share")(Probe(identity_share))
PROBES.register("block_square")(Probe(block_square))
PROBES.register("block_gradient")(Probe(block_gradient))
