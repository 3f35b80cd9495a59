"""Runs a plan: where the training happens, and what becomes of its events."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbench.execution.driver import Silent, Watch, execute
    from normbench.execution.engine import Engine, Task
    from normbench.execution.engines import make_engine
    from normbench.execution.experiment import carry_out, what_is_left
    from normbench.execution.local import LocalEngine
    from normbench.plan import Outcome

__all__ = [
    "Engine",
    "LocalEngine",
    "Outcome",
    "Silent",
    "Task",
    "Watch",
    "carry_out",
    "execute",
    "make_engine",
    "what_is_left",
]

# Imported when first used: processes are started before this one imports torch.
_HOMES = {
    "driver": ("Outcome", "Silent", "Watch", "execute"),
    "experiment": ("carry_out", "what_is_left"),
    "engine": ("Engine", "Task"),
    "engines": ("make_engine",),
    "local": ("LocalEngine",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"normbench.execution.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
