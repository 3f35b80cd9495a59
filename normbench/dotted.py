"""Configs as trees, and the dotted keys that name their parts, such as ``optimizer.lr``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten_config(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value, for every leaf. An empty mapping is a leaf."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            found |= flatten_config(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found
