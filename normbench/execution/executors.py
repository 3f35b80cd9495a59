"""The executors by name."""

from __future__ import annotations

from collections.abc import Callable

from normbench.config import RuntimeConfig
from normbench.errors import ConfigError, Problem, suggest
from normbench.execution.executor import Executor
from normbench.execution.local import LocalExecutor

EXECUTORS = ("local", "ray")


def make_executor(
    name: str,
    runtime: RuntimeConfig,
    *,
    jobs: int | None,
    fill: int,
    ray_address: str | None,
    note: Callable[[str], None],
) -> Executor:
    """The executor called ``name``, for runs that compute on ``runtime``.

    jobs: runs at a time; None is ``fill`` on this machine, and on a cluster what its resources
    allow. note: is told what the user should see. Raises ConfigError for a name, an address or a
    missing package.
    """
    if name not in EXECUTORS:
        message = f"unknown executor {name!r}"
        raise ConfigError([Problem("executor", message, suggest(name, EXECUTORS))])
    if name == "local":
        if ray_address is not None:
            hint = "add --executor ray"
            raise ConfigError([Problem("ray-address", "the executor is local", hint)])
        return LocalExecutor(jobs or fill)
    if runtime.stack > 1:
        hint = "on a GPU, runtime.gpus: 0.25 puts four runs side by side"
        message = "a stack is trained by local processes, not by ray"
        raise ConfigError([Problem("runtime.stack", message, hint)])
    if ":" in runtime.device:
        hint = "write  device: cuda ; Ray says which GPU a run gets"
        raise ConfigError([Problem("runtime.device", "ray gives a run its GPU", hint)])
    try:
        from normbench.execution.cluster import RayExecutor
    except ModuleNotFoundError as error:
        if error.name != "ray":
            raise
        hint = "pip install 'normbench[ray]', or in a clone  pip install -e '.[ray]'"
        raise ConfigError([Problem("executor", "ray is not installed", hint)]) from None
    return RayExecutor(jobs, ray_address, note)
