"""How large each layer's weights are, and how fast that lets them turn."""

import torch
from torch import Tensor

from normbench.probes.base import PROBES, Capture, Probe, norms


def weight_norm(capture: Capture) -> Tensor:
    """norm(W_l) before the step. [L]"""
    return norms(capture.weights)


def effective_rate(capture: Capture) -> Tensor:
    """lr / norm(W_l)^2 of weights whose scale the network does not feel, NaN elsewhere. [L]

    Where the loss is the same for c W as for W, its gradient falls like 1/c, so that gradient
    descent turns W by an angle that goes with lr / norm(W)^2 and not with lr: van Laarhoven 2017,
    arXiv:1706.05350. For Adam, whose step does not fall with the gradient, it is lr / norm(W).
    """
    rates = [capture.learning_rate if known else torch.nan for known in capture.scale_invariant]
    lengths = norms(capture.weights)
    return torch.tensor(rates).to(lengths) / lengths.square()


PROBES.register("weight_norm")(Probe(weight_norm))
PROBES.register("effective_rate")(Probe(effective_rate))
