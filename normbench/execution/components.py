"""Norms, models and datasets that the caller registered, on their way to the processes that train.

A worker finds what stands in this package by itself. What a script or a notebook defined, it cannot
import, so it is sent: by value from ``__main__``, by reference from a module.
"""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle

from normbench.data.catalog import DATASETS
from normbench.errors import ConfigError, Problem
from normbench.models import MODELS
from normbench.norms import NORMS
from normbench.registry import Registry

_REGISTRIES: dict[str, Registry[Any]] = {
    "normbench.norms": NORMS,
    "normbench.models": MODELS,
    "normbench.datasets": DATASETS,
}


def pack() -> bytes | None:
    """What was registered outside of this package; None where nothing was. Raises ConfigError."""
    guests = []
    for home, registry in _REGISTRIES.items():
        for name, aliases, item in registry.guests():
            try:
                guests.append((home, name, aliases, cloudpickle.dumps(item)))
            except (pickle.PicklingError, TypeError, AttributeError) as error:
                hint = (
                    "it is defined in a script or a notebook and holds something that stays there: "
                    "put it into a module of its own and import that"
                )
                message = f"cannot be sent to the processes that train ({error})"
                raise ConfigError([Problem(f"{registry.kind} {name!r}", message, hint)]) from None
    return pickle.dumps(guests) if guests else None


def unpack(packed: bytes | None) -> None:
    """Register what ``pack`` packed, here."""
    for home, name, aliases, item in pickle.loads(packed) if packed else ():
        registry = _REGISTRIES[home]
        component = pickle.loads(item)  # imports its module, if it has one, which may register it
        if name not in registry:
            registry.register(name, aliases=aliases)(component)
