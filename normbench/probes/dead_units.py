"""Units that have stopped responding."""

import torch
from torch import Tensor

from normbench.probes.base import PROBES, Capture, Probe


def dead_units(capture: Capture) -> Tensor:
    """Share of units whose activation is zero for every example of the batch. [L]

    A unit is a feature of [N, F], or a channel of [N, C, H, W] (zero at every position). NaN where
    no activation function is known.
    """
    shares = torch.stack([_dead_share(t) for t in capture.activation_outputs])
    known = torch.tensor(capture.activated, device=shares.device)
    return torch.where(known, shares, torch.nan)


def _dead_share(output: Tensor) -> Tensor:
    largest = output.abs().amax([d for d in range(output.ndim) if d != 1])
    return torch.where(largest.isnan(), torch.nan, (largest == 0).float()).mean()


PROBES.register("dead_units")(Probe(dead_units))
