"""What the tests of networks that others wrote share."""

from __future__ import annotations

from typing import Any

import pytest
from networks import CLASSES, IMAGE, batch, fitting, without_gradient
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.errors import ConfigError
from normbench.models.assemble import anatomy, assemble
from normbench.models.network import Blueprint, Network
from normbench.models.slots import Anatomy
from normbench.norms import make_method


def found(blueprint: Blueprint) -> Anatomy:
    return anatomy(blueprint, IMAGE, CLASSES)


def made(blueprint: Blueprint, norm: str, seed: int = 0) -> Network:
    return assemble(blueprint, make_method(norm), IMAGE, CLASSES, seed, 8)


def check_all(blueprint: Blueprint, *, silent: frozenset[str] = frozenset()) -> list[str]:
    """Train it under every norm that fits; all start from one backbone. silent: parameters that
    the network itself gives no gradient to."""
    norms = fitting(blueprint)
    hashes = set()
    for norm in norms:
        net = made(blueprint, norm)
        hashes.add(net.backbone_sha256)
        assert set(without_gradient(net, batch(net, 8))) <= silent, norm
    assert len(hashes) == 1
    return norms


def problem(blueprint: Blueprint) -> Any:
    with pytest.raises(ConfigError) as caught:
        found(blueprint)
    (told,) = caught.value.problems
    return told


class Plain(nn.Module):
    """A convolution, a norm, a head; what differs is in ``body``."""

    def __init__(self, num_classes: int = CLASSES):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Linear(8, num_classes)

    def body(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(self.conv(x)))

    def forward(self, x: Tensor) -> Any:
        return self.head(self.body(x).mean((2, 3)))


class InPlace(nn.Module):
    """Everything that can write into its input does."""

    def __init__(self) -> None:
        super().__init__()
        self.norm0 = nn.BatchNorm2d(1)
        self.act0 = nn.SiLU(inplace=True)
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(8)
        self.act1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(8)
        self.act2 = nn.Hardswish(inplace=True)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act1(self.norm1(self.conv(self.act0(self.norm0(x)))))
        y = self.norm2(self.conv2(x))
        y += x
        return self.head(self.act2(y).mean((2, 3)))
