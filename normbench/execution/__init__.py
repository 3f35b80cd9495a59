"""Runs a plan: where the training happens, and what becomes of its events."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from normbench.execution.driver import NullObserver, Observer, execute
    from normbench.execution.executor import Executor, Task
    from normbench.execution.executors import make_executor
    from normbench.execution.experiment import carry_out, what_is_left
    from normbench.execution.local import LocalExecutor
    from normbench.plan import Outcome

__all__ = [
    "Executor",
    "LocalExecutor",
    "NullObserver",
    "Observer",
    "Outcome",
    "Task",
    "carry_out",
    "execute",
    "make_executor",
    "what_is_left",
]

# Imported when first used: processes are started before this one imports torch.
_HOMES = {
    "driver": ("Outcome", "NullObserver", "Observer", "execute"),
    "experiment": ("carry_out", "what_is_left"),
    "executor": ("Executor", "Task"),
    "executors": ("make_executor",),
    "local": ("LocalExecutor",),
}


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(importlib.import_module(f"normbench.execution.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
