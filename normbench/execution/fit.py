"""Whether data and machine can serve a plan, and how much of it at a time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from normbench.errors import ConfigError, Problem

if TYPE_CHECKING:
    from normbench.config import ExperimentConfig
    from normbench.data import Dataset
    from normbench.plan import PlannedRun


def default_jobs(experiment: ExperimentConfig) -> int:
    """As many runs at a time as fill the cores or, on cuda, one GPU by their share of it."""
    runtime = experiment.runtime
    if runtime.device != "cpu":
        return int(1 / (runtime.gpus or 1) + 1e-9)
    return max(1, (os.cpu_count() or 1) // runtime.threads)


def usable(device: str) -> bool:
    """Whether PyTorch can compute on a device here."""
    import torch

    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError):  # PyTorch asserts that it was built with CUDA
        return False
    return device != "meta"


def check_fit(plan: Sequence[PlannedRun], dataset: Dataset, *, here: bool = True) -> None:
    """Raise ConfigError when the data or the machine cannot serve a run's config.

    Too few images for the split or a batch, a warmup longer than the budget, no such device;
    here: whether it is this machine's devices that count.
    """
    from normbench.config.checks import image_shape, model_problem, norm_fault
    from normbench.seeding import stream
    from normbench.training.budget import total_steps

    kinds = {repr((run.sweep_point, run.tuned)): run.config for run in plan}
    devices = {config.runtime.device for config in kinds.values()}
    for device in devices if here else ():
        if not usable(device):
            raise ConfigError([Problem("runtime.device", f"{device!r} is not on this machine")])
    left: dict[float, int] = {}
    for config in kinds.values():
        validation, warmup = config.data.validation, config.optimizer.warmup_steps
        try:
            if validation not in left:
                train, _ = dataset.split(validation, stream(0, "split"))
                left[validation] = len(train)
        except ValueError as error:
            raise ConfigError([Problem("data.validation", str(error))]) from None
        if wrong := model_problem(
            config.data, config.model, dataset.image_shape, dataset.num_classes
        ):
            raise ConfigError([wrong])
        steps = total_steps(config, left[validation])
        if warmup >= steps:
            message = f"must be below the {steps} steps of the budget, got {warmup}"
            hint = f"for example  --set optimizer.warmup_steps={steps // 10}"
            raise ConfigError([Problem("optimizer.warmup_steps", message, hint)])
    under = {repr((run.sweep_point, run.tuned, run.norm)): run for run in plan}
    for run in under.values():
        config = run.config
        if image_shape(config.data) is not None:
            continue  # checked with the config
        parts = (config.data, config.model, config.normalization, config.norm)
        if wrong := norm_fault(*parts, dataset.image_shape):
            if wrong.path == "model":
                raise ConfigError([wrong])
            message = f"{run.norm}: {wrong.message}"
            raise ConfigError([Problem("norms", message, wrong.hint)])
