"""What normbench finds in a network: its norms, what it cannot exchange, and whether all learns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from normbench.errors import ConfigError
from normbench.measure.conformance import Finding
from normbench.models.assemble import anatomy, assemble
from normbench.models.base import ImageShape
from normbench.models.network import Blueprint
from normbench.models.slots import Anatomy
from normbench.norms import NORMS, NormPolicy, make_method
from normbench.seeding import stream

EXAMPLES = 4


@dataclass(frozen=True)
class NetworkReport:
    """anatomy: what stands where; findings: by norm; parameters: numbers under each norm."""

    anatomy: Anatomy
    findings: tuple[Finding, ...]
    parameters: dict[str, int]


def check_network(
    blueprint: Blueprint,
    image_shape: ImageShape,
    num_classes: int = 10,
    policy: NormPolicy = NormPolicy(),
) -> NetworkReport:
    """Put every registered norm into the network, and train it for one step.

    image_shape: (H, W, C). Raises ConfigError where the network cannot be built or run.
    """
    known = anatomy(blueprint, image_shape, num_classes)
    parameters: dict[str, int] = {}
    findings = tuple(_under_every_norm(blueprint, image_shape, num_classes, policy, parameters))
    return NetworkReport(known, findings, parameters)


def _under_every_norm(
    blueprint: Blueprint,
    image_shape: ImageShape,
    num_classes: int,
    policy: NormPolicy,
    parameters: dict[str, int],
) -> Iterator[Finding]:
    backbones: dict[str, str] = {}
    for name in NORMS.names():
        method = make_method(name, policy)
        try:
            network = assemble(blueprint, method, image_shape, num_classes, 0, EXAMPLES)
        except ConfigError as error:
            yield Finding("fits", name, "left out", error.problems[0].message)
            continue
        backbones[name] = network.backbone_sha256
        module = network.module.train()
        parameters[name] = sum(p.numel() for p in module.parameters())
        height, width, channels = image_shape
        rng = stream(0, "network check")
        flat = network.layout == "flat"
        shape = (
            (EXAMPLES, height * width * channels) if flat else (EXAMPLES, channels, height, width)
        )
        x = torch.from_numpy(rng.standard_normal(shape, dtype="float32"))
        with torch.random.fork_rng(devices=[]):
            logits = module(x)
            loss = F.cross_entropy(logits, torch.arange(EXAMPLES) % num_classes)
            loss.backward()
        without = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        if without:
            yield Finding("gradient", name, "wrong", f"none reaches {_some(without)}")
        elif not all(g.isfinite().all() for g in gradients):
            yield Finding("gradient", name, "wrong", "it is not finite")
        else:
            yield Finding("gradient", name, "fine")
    same = len(set(backbones.values())) <= 1
    said = "" if same else "the backbone is not the same under all norms"
    yield Finding("backbone", "all norms", "fine" if same else "wrong", said)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
