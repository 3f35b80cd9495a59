"""What a run stands on besides its config: bit for bit the same numbers come only from the same.

A run that continues on other ground is told and refused, unless that is accepted; then its record
says so for good.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from typing import Any

from normbench import components
from normbench.config import RunConfig
from normbench.models import MODELS
from normbench.norms import NORMS
from normbench.registry import Registry

SHORT = 8
"""Digits of a hash that are shown."""


def code_of(config: RunConfig) -> dict[str, str]:
    """What of the user's own code a run's identity does not hold: "norm", "model" -> SHA-256 (hex).

    The identity has the file of a reference; here is what that imports from its own folder. Of a
    norm or model that a script or a notebook registered the identity has the name alone; here is
    its source, where Python can tell it.
    """
    parts: list[tuple[str, str, Registry[Any]]] = [
        ("norm", config.norm.kind, NORMS),
        ("model", config.model.kind, MODELS),
    ]
    digests = {}
    for word, kind, registry in parts:
        if components.is_reference(kind):
            digest = components.imports_sha256(kind)
        else:
            digest = _source_of(kind, registry)
        if digest is not None:
            digests[word] = digest
    return digests


def _source_of(kind: str, registry: Registry[Any]) -> str | None:
    """Of what was registered outside of this package; None where that cannot be told."""
    for name, _, item in registry.guests():
        if name == kind:
            try:
                return hashlib.sha256(inspect.getsource(item).encode()).hexdigest()
            except (OSError, TypeError):
                return None
    return None


def ground(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a run was trained with, as far as its manifest says: a word -> its value."""
    packages = manifest.get("environment", {}).get("packages")
    words = {
        "torch": packages.get("torch") if isinstance(packages, Mapping) else None,
        "device": manifest.get("device"),
        "threads": manifest.get("threads"),
    }
    code = manifest.get("code")
    for word, digest in code.items() if isinstance(code, Mapping) else ():
        words[f"code of the {word}"] = str(digest)[:SHORT]
    return {word: str(value) for word, value in words.items() if value is not None}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two manifests, a sentence part each: ``torch 2.6.0, now 2.13.0``."""
    was, has = ground(before), ground(now)
    return [
        f"{word} {was[word]}, now {has[word]}"
        for word in was
        if word in has and was[word] != has[word]
    ]
