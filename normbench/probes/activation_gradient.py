"""The gradient that reaches each layer."""

from torch import Tensor

from normbench.probes.base import PROBES, Capture, Probe, norms


def activation_gradient(capture: Capture) -> Tensor:
    """norm(dL/dz_l) over the whole batch, z_l the output of the Linear or Conv. [L]"""
    return norms(capture.pre_activation_gradients)


PROBES.register("activation_gradient")(Probe(activation_gradient))
