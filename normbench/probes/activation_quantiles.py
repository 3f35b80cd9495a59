"""Quantiles of what enters the activation function, by layer."""

from functools import partial, update_wrapper

from torch import Tensor

from normbench.probes.base import PROBES, SHARES, Capture, Probe


def activation_in_quantile(capture: Capture, at: int) -> Tensor:
    """The quantile ``SHARES[at]`` of the activation function's input. [L]

    Over the batch and all units, of at most about ``base.VALUES`` values in each layer, evenly
    spread. NaN in a layer that holds one.
    """
    return capture.input_quantiles[:, at]


for _at, _share in enumerate(SHARES):
    _measure = update_wrapper(partial(activation_in_quantile, at=_at), activation_in_quantile)
    PROBES.register(f"activation_in_q{round(100 * _share):02}")(Probe(_measure))
