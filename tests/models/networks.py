"""Small networks of every kind, for the tests of models; ``from networks import ...``."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from normbench.models import MODELS, ModelSettings
from normbench.models.assemble import anatomy, assemble, problem_of
from normbench.models.base import ImageShape
from normbench.models.network import Blueprint, Network
from normbench.norms import NORMS, NormPolicy, make_method

IMAGE: ImageShape = (8, 8, 1)
CLASSES = 10
BATCH = 32

# The plain chains of blocks.
CHAINS: dict[str, dict[str, Any]] = {
    "mlp": {"depth": 3, "width": 16},
    "cnn": {"depth": 4, "stages": 2, "width": 8},
}
# Every kind of ours in every form, by a name of its own.
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, options) for kind, options in CHAINS.items()},
    "resnet": ("resnet", {"depth": 8, "width": 8}),
    "resnet-B": ("resnet", {"depth": 8, "width": 8, "shortcut": "B"}),
    "resnet-v2": ("resnet", {"depth": 8, "width": 8, "order": "v2"}),
    "resnet-v2-B": ("resnet", {"depth": 14, "width": 8, "order": "v2", "shortcut": "B"}),
    "residual_mlp": ("residual_mlp", {"depth": 2, "width": 16}),
    "vit": ("vit", {"depth": 1, "width": 16, "heads": 2}),
    "vit-post": ("vit", {"depth": 2, "width": 16, "heads": 2, "norm_position": "post"}),
    "vit-peri": (
        "vit",
        {"depth": 1, "width": 16, "heads": 2, "norm_position": "peri", "pool": "mean"},
    ),
    "mixer": ("mixer", {"depth": 1, "width": 16, "token_width": 8, "feature_width": 16}),
    "lstm": ("lstm", {"depth": 2, "width": 16}),
}


def plan(form: str, settings: ModelSettings = ModelSettings()) -> Blueprint:
    """The blueprint of a form of ``FORMS``."""
    kind, options = FORMS[form]
    return Blueprint(kind, MODELS[kind].Options(**options), settings)


def fitting(blueprint: Blueprint, image: ImageShape = IMAGE, classes: int = CLASSES) -> list[str]:
    """The registered norms that make sense in this network."""
    found = anatomy(blueprint, image, classes)
    return [name for name in NORMS if not problem_of(blueprint, found, make_method(name), BATCH)]


def network(
    form: str,
    norm: str,
    settings: ModelSettings = ModelSettings(),
    seed: int = 0,
    policy: NormPolicy = NormPolicy(),
) -> Network:
    """One of ``FORMS`` under a norm."""
    method = make_method(norm, policy)
    return assemble(plan(form, settings), method, IMAGE, CLASSES, seed, BATCH)


def images(count: int, image: ImageShape = IMAGE, *, flat: bool = False) -> Tensor:
    """Made-up images [N, C, H, W], or [N, F]."""
    height, width, channels = image
    shape = (count, channels, height, width)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))
    return x.flatten(1) if flat else x


def batch(net: Network, count: int = 5, image: ImageShape = IMAGE) -> Tensor:
    """Images in the layout that the network takes."""
    return images(count, image, flat=net.layout == "flat")


def without_gradient(net: Network, x: Tensor, steps: int = 2, *, finite: bool = True) -> list[str]:
    """Train a few steps; the parameters to which no gradient, or none that is finite, has come.

    finite: whether it must be; where the signal overflows by design it cannot.
    """
    net.module.train()
    optimizer = torch.optim.SGD(net.module.parameters(), lr=0.05)
    missing: dict[str, None] = {}
    with torch.random.fork_rng(devices=[]):
        for step in range(steps):
            torch.manual_seed(step)
            optimizer.zero_grad()
            logits = net.module(x)
            F.cross_entropy(logits, torch.arange(len(x)) % logits.shape[1]).backward()
            for name, parameter in net.module.named_parameters():
                if parameter.requires_grad and (
                    parameter.grad is None or (finite and not parameter.grad.isfinite().all())
                ):
                    missing[name] = None
            optimizer.step()
    return list(missing)
