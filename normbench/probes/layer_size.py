"""How many values an example has at each layer: where that changes, a stage of a CNN ends."""

import torch
from torch import Tensor

from normbench.probes.base import PROBES, Capture, Probe


def layer_size(capture: Capture) -> Tensor:
    """Values of one example's activations, features times positions. [L]"""
    sizes = [output[0].numel() for output in capture.activation_outputs]
    return torch.tensor(sizes, dtype=torch.float32, device=capture.activation_outputs[0].device)


PROBES.register("layer_size")(Probe(layer_size))
