"""How far one step moves each layer's weights."""

import torch
from torch import Tensor

from normbench.probes.base import PROBES, Capture, Probe, norms


def update_ratio(capture: Capture) -> Tensor:
    """norm(W_l after the step - before) / norm(W_l before). [L]"""
    moved = torch._foreach_sub(capture.weights, capture.weights_before)
    return norms(list(moved)) / norms(capture.weights_before)


PROBES.register("update_ratio")(Probe(update_ratio, when="step"))
