"""Configs as trees, and the dotted keys that name their parts, such as ``optimizer.lr``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def flatten_config(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key -> value, for every leaf. An empty mapping is a leaf."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            leaves |= flatten_config(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def tuned_key(config: Mapping[str, Any]) -> str | None:
    """The key that a resolved config tunes, such as optimizer.lr; None where it tunes none.

    Only a key of another section has a dot; the others say how the search is made.
    """
    return next((key for key in config.get("tune") or {} if "." in key), None)
