"""Does the device compute what the CPU does, a stack what single runs do, and the same twice?"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.gpu_parts.tasks import Made, Task, made, run_config
from normbench.training import events
from normbench.training.loop import train_together

TOLERANCE = 1e-3
"""Largest relative difference of a loss after six steps in fp32, other kernels adding up in another
order. On a CPU against another CPU the golden runs keep 1e-6."""

STEPS, BATCH = 6, 32
_SHORT: dict[str, Any] = {
    "training": STEPS * BATCH,
    "epochs": 1,
    "batch_size": BATCH,
    "validation": 40,
    "test": 40,
    "side": 8,
    "lr": 0.02,
}
# GELU in convolutions: an activation that lies next to ReLU's kink goes either way by rounding.
SHORT = {
    "mlp": Task("mlp", "mlp", {"depth": 3, "width": 16}, channels=1, **_SHORT),
    "cnn": Task(
        "cnn", "cnn", {"depth": 4, "stages": 2, "width": 8}, channels=3, activation="gelu", **_SHORT
    ),
    "resnet": Task(
        "resnet", "resnet", {"depth": 8, "width": 8}, channels=3, activation="gelu", **_SHORT
    ),
}
NORMS: dict[str, dict[str, Any]] = {
    **{norm: {} for norm in ("none", "batch", "layer", "rms")},
    "group": {"groups": 2},
    "instance": {},
}


@dataclass(frozen=True)
class Check:
    """difference: the largest relative one; NaN where it could not be made, for ``reason``."""

    name: str
    difference: float
    tolerance: float
    reason: str = ""

    @property
    def ok(self) -> bool | None:
        """None where the check could not be made."""
        return None if self.reason else self.difference <= self.tolerance


@dataclass
class Outcome:
    """losses: of training and validation, in order; weights: the last ones, by name."""

    losses: list[float]
    weights: dict[str, Tensor]


def outcomes(configs: Sequence[Any], data: Made) -> list[Outcome]:
    """Each run of a stack trained to its end."""
    found = [Outcome([], {}) for _ in configs]
    for index, event in train_together(configs, data, resume=[None] * len(configs)):  # type: ignore[arg-type]
        if isinstance(event, events.Evaluated):
            found[index].losses.append(event.val_loss)
            if event.train_loss is not None:
                found[index].losses.append(event.train_loss)
        elif isinstance(event, events.Checkpointed):
            state = torch.load(io.BytesIO(event.state), map_location="cpu", weights_only=True)
            found[index].weights = state["network"]
        elif isinstance(event, events.Diverged):
            found[index].losses.append(math.inf)
    return found


def difference(one: Outcome, other: Outcome) -> float:
    """The largest relative difference of a loss."""
    pairs = zip(one.losses, other.losses, strict=True)
    return max(abs(a - b) / max(abs(a), abs(b), 1e-12) for a, b in pairs)


def checks(device: str, *, compiled: bool, kinds: Sequence[str] = tuple(SHORT)) -> Iterator[Check]:
    """All of them. A check that raises says so and does not end the others."""
    for kind in kinds:
        task = SHORT[kind]
        data = made(task)
        for norm, options in NORMS.items():
            if norm == "instance" and kind == "mlp":
                continue
            run = partial(_run, task, data, norm, options)
            name = f"{kind}, {norm}"
            yield _check(f"{name}: {device} against cpu", partial(_apart, run, device, "cpu"))
            yield _check(f"{name}: the same twice", partial(_twice, run, device), 0.0)
        run = partial(_run, task, data, "batch", {})
        yield _check(f"{kind}: stack against single runs", partial(_stacked, task, data, device))
        if compiled:
            yield _check(f"{kind}: compiled against eager", partial(_compiled, run, device))


def _run(
    task: Task, data: Made, norm: str, options: dict[str, Any], device: str, **more: Any
) -> Outcome:
    config = run_config(task, norm, device=device, evaluate_every=3, **options, **more)
    return outcomes([config], data)[0]


def _apart(run: Callable[..., Outcome], one: str, other: str) -> float:
    return difference(run(one), run(other))


def _compiled(run: Callable[..., Outcome], device: str) -> float:
    return difference(run(device, compile=True), run(device))


def _check(name: str, measure: Callable[[], float], tolerance: float = TOLERANCE) -> Check:
    try:
        return Check(name, measure(), tolerance)
    except Exception as error:  # a driver or a compiler that is not there
        text = (str(error).strip().splitlines() or [""])[0]
        return Check(name, math.nan, tolerance, f"{type(error).__name__}: {text}"[:200])


def _twice(run: Callable[..., Outcome], device: str) -> float:
    """0 where losses and weights are the same, bit for bit; else how far they are apart."""
    one, other = run(device), run(device)
    apart = [
        float((value.double() - other.weights[name].double()).abs().max())
        for name, value in one.weights.items()
    ]
    return max([difference(one, other), *apart])


def _stacked(task: Task, data: Made, device: str) -> float:
    """The largest difference of four seeds in a stack to the same four alone."""
    seeds = range(4)
    alone = [
        outcomes([run_config(task, seed=seed, device=device, evaluate_every=3)], data)[0]
        for seed in seeds
    ]
    stack = [
        run_config(task, seed=seed, device=device, evaluate_every=3, stack=4) for seed in seeds
    ]
    return max(map(difference, outcomes(stack, data), alone))
