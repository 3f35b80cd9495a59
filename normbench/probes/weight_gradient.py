"""The gradient of each layer's weights."""

from torch import Tensor

from normbench.probes.base import PROBES, Capture, Probe, norms


def weight_gradient(capture: Capture) -> Tensor:
    """norm(dL/dW_l), before gradient clipping. [L]"""
    return norms(capture.weight_gradients())


PROBES.register("weight_gradient")(Probe(weight_gradient))
