"""Mean and standard deviation around the activation function."""

import torch
from torch import Tensor

from normbench.probes.base import PROBES, Capture, Probe


def _means(tensors: list[Tensor]) -> Tensor:
    return torch.stack([t.float().mean() for t in tensors])


def _stds(tensors: list[Tensor]) -> Tensor:
    return torch.stack([t.float().std(correction=0) for t in tensors])


def activation_in_mean(capture: Capture) -> Tensor:
    """Mean of the activation function's input, over the batch and all units. [L]"""
    return _means(capture.activation_inputs)


def activation_in_std(capture: Capture) -> Tensor:
    """Standard deviation of the activation function's input, over the batch and all units. [L]"""
    return _stds(capture.activation_inputs)


def activation_out_mean(capture: Capture) -> Tensor:
    """Mean of the activation function's output, over the batch and all units. [L]"""
    return _means(capture.activation_outputs)


def activation_out_std(capture: Capture) -> Tensor:
    """Standard deviation of the activation function's output, over the batch and all units. [L]"""
    return _stds(capture.activation_outputs)


for _measure in (activation_in_mean, activation_in_std, activation_out_mean, activation_out_std):
    PROBES.register(_measure.__name__)(Probe(_measure))
