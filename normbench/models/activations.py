"""The activation functions a config may name, elementwise and without parameters."""

from collections.abc import Callable

from torch import nn


class Linear(nn.Identity):
    """No activation, yet one by its place; a plain ``nn.Identity`` stands for no module at all."""


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "identity": Linear,
}

HOMOGENEOUS = frozenset({"relu", "leaky_relu", "identity"})
"""Those with phi(c z) = c phi(z) for every c > 0."""
