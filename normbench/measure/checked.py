"""``check`` on whatever a target names: a norm or a network."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from normbench import components
from normbench.errors import ConfigError, Problem
from normbench.measure.conformance import Finding, check_norm
from normbench.measure.network_check import check_network
from normbench.models import MODELS, MODULE, ModelSettings
from normbench.models.base import Architecture, ImageShape
from normbench.models.foreign import of_library
from normbench.models.network import Blueprint
from normbench.norms import NORMS, NormMethod, make_method


@dataclass(frozen=True)
class Checked:
    """heading: what was tried; findings: what every check says; notes: what was found beside."""

    heading: str
    findings: tuple[Finding, ...]
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return all(finding.state != "wrong" for finding in self.findings)

    def as_dict(self) -> Mapping[str, Any]:
        """Plain values, for ``--json``."""
        return {
            "target": self.heading,
            "findings": [asdict(finding) for finding in self.findings],
            "notes": list(self.notes),
        }


def check(target: str, *, image_shape: ImageShape = (32, 32, 3), num_classes: int = 10) -> Checked:
    """Try a norm or a network by name or reference. Raises ConfigError where there is none.

    image_shape: (H, W, C) of the images that a network is tried on.
    """
    if library := of_library(target):
        kind, name = library
        return _of_network(kind, image_shape, num_classes, {"name": name})
    target = components.anchored(target, Path())
    try:
        if target not in NORMS and target not in MODELS and components.is_reference(target):
            return _of_reference(target, image_shape, num_classes)
        if target in MODELS:
            return _of_network(target, image_shape, num_classes)
        return _of_norm(NORMS.canonical(target))
    except components.UnknownName as error:
        raise ConfigError([Problem("", error.message, error.hint, source=target)]) from None


def _of_reference(target: str, image_shape: ImageShape, num_classes: int) -> Checked:
    """A class that takes features is a norm; every other one is a network."""
    item = components.load(target).target
    if isinstance(item, type) and issubclass(item, NormMethod):
        return _of_norm(target)
    if isinstance(item, type) and issubclass(item, Architecture):
        return _of_network(target, image_shape, num_classes)
    try:
        first = next(iter(inspect.signature(item).parameters), "")
    except (TypeError, ValueError):
        first = ""
    if first in ("features", "num_features", "dim", "normalized_shape", "channels", "slot"):
        return _of_norm(target)
    return _of_network(target, image_shape, num_classes)


def _of_norm(name: str) -> Checked:
    method = make_method(name)
    if not method.replaces:
        message = "is what a network has already: check the network"
        raise ConfigError([Problem("", message, source=name)])
    traits = method.traits
    notes = []
    if traits.statistics is None:
        notes.append(
            "it declares no traits, so theory, cost and claims say nothing of it: "
            "make it a NormMethod with Traits(statistics=..., centered=...)"
        )
    return Checked(f"norm {components.short(name)}", tuple(check_norm(method)), tuple(notes))


def _of_network(
    name: str,
    image_shape: ImageShape,
    num_classes: int,
    options: Mapping[str, Any] = MappingProxyType({}),
) -> Checked:
    kind = MODELS[name]
    settings = ModelSettings(init=MODULE) if kind.open else ModelSettings()
    blueprint = Blueprint(name, kind.Options(**options), settings)
    report = check_network(blueprint, image_shape, num_classes)
    size = "x".join(map(str, image_shape))
    notes = [
        f"slot {slot.path}: {slot.features} features at {'x'.join(map(str, slot.shape))}"
        + (f", behind {slot.producer}" if slot.producer else "")
        + (f", called {slot.calls} times" if slot.calls > 1 else "")
        for slot in report.anatomy.slots
    ]
    notes += [f"kept {k.path} ({k.kind}): {k.reason}" for k in report.anatomy.kept]
    if report.parameters:
        least, most = min(report.parameters.values()), max(report.parameters.values())
        notes.append(f"parameters: {least:,} to {most:,}, depending on the norm")
    called = options.get("name", components.short(name))
    return Checked(f"network {called} on {size}", report.findings, tuple(notes))
