"""Runs a plan: where the training happens, and what becomes of its events."""

from normbench.execution.driver import Outcome, Silent, Watch, execute
from normbench.execution.engine import Engine, Task
from normbench.execution.engines import make_engine
from normbench.execution.local import LocalEngine

__all__ = ["Engine", "LocalEngine", "Outcome", "Silent", "Task", "Watch", "execute", "make_engine"]
