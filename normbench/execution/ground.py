"""What a run stands on besides its config: bit for bit the same numbers come only from the same.

A run that continues on other ground is told and refused, unless that is accepted; then its record
says so for good.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def ground(manifest: Mapping[str, Any]) -> dict[str, str]:
    """What a run was trained with, as far as its manifest says: a word -> its value."""
    packages = manifest.get("environment", {}).get("packages")
    found = {
        "torch": packages.get("torch") if isinstance(packages, Mapping) else None,
        "device": manifest.get("device"),
        "threads": manifest.get("threads"),
    }
    return {word: str(value) for word, value in found.items() if value is not None}


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two manifests, a sentence part each: ``torch 2.6.0, now 2.13.0``."""
    was, has = ground(before), ground(now)
    return [
        f"{word} {was[word]}, now {has[word]}"
        for word in was
        if word in has and was[word] != has[word]
    ]
