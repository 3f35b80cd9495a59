"""The smallest experiment that is still real: three layers on scikit-learn's digits, twelve steps.

Helpers for the tests of the core; ``from tiny import ...``.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from normbench.config import ExperimentConfig, RunConfig, load
from normbench.data import Dataset
from normbench.training import events
from normbench.training.loop import train

TEXT = """\
name: tiny
data: {dataset: digits, validation: 100, batch_size: 32}
model: {kind: mlp, depth: 3, width: 16}
norms: [none, batch]
optimizer: {kind: sgd, lr: 0.1}
training: {steps: 12, evaluate_every: 5}
target: {val_accuracy: 0.5}
seeds: 2
"""

# An epoch of four batches, so that a run of a dozen steps crosses several of them.
SHORT_EPOCHS = ("data.validation=100", "data.batch_size=330")

# One of everything that could carry state from step to step.
EVERYTHING = (
    "data.augment={crop: 1, flip: true}",
    "optimizer={kind: adam, lr: 0.01, schedule: cosine, warmup_steps: 3, clip_norm: 0.5}",
    "probes={every: 2}",
)

EVERYDAY = ("none", "batch", "layer", "rms", "group", "instance")
"""Norms of which every test is made by default; of the others some are, all of them where slow."""

CNN = ("model={kind: cnn, depth: 4, stages: 2, width: 8}",)


def experiment(*overrides: str) -> ExperimentConfig:
    """The tiny experiment with ``key=value`` changes."""
    return load(TEXT, overrides)


def by_norm(norm: str) -> tuple[pytest.MarkDecorator, ...]:
    """The marks of a test that is repeated for every norm."""
    return () if norm in EVERYDAY else (pytest.mark.slow,)


def run_config(*overrides: str, norm: str = "batch", seed: int = 0) -> RunConfig:
    """One run of it."""
    return experiment(f"norms=[{norm}]", *overrides).run({}, 0, seed)


def trained(
    config: RunConfig,
    dataset: Dataset,
    *,
    resume: bytes | None = None,
    stop_at: int | None = None,
) -> list[events.Event]:
    """All events of a run, or those up to where it was asked to stop, before update ``stop_at``."""
    found: list[events.Event] = []
    should_stop = (lambda: False) if stop_at is None else asks(stop_at, found)
    for event in train(config, dataset, resume=resume, should_stop=should_stop):
        found.append(event)
    return found


def asks(stop_at: int, found: list[events.Event]) -> Callable[[], bool]:
    """A ``should_stop`` that says so before update ``stop_at``; it is asked before every one."""
    calls = -1

    def should_stop() -> bool:
        nonlocal calls
        calls += 1
        started = found[0]
        assert isinstance(started, events.Started)
        return started.step + calls >= stop_at

    return should_stop


def only(found: Iterable[events.Event], kind: type) -> list[Any]:
    """The events of one kind."""
    return [event for event in found if isinstance(event, kind)]


def record(found: Iterable[events.Event]) -> list[tuple[str, dict[str, Any]]]:
    """What must be the same whenever a run is repeated: no clock readings, no signs of life."""
    passing = (events.Started, events.Progress, events.Checkpointed, events.Stopped)
    return [
        (
            type(event).__name__,
            {k: v for k, v in asdict(event).items() if not k.endswith("_seconds")},
        )
        for event in found
        if not isinstance(event, passing)
    ]


def state(found: Iterable[events.Event]) -> dict[str, Any]:
    """The last checkpoint, read as a stranger would."""
    last = only(found, events.Checkpointed)[-1]
    return torch.load(io.BytesIO(last.state), weights_only=True)


def weights(found: Iterable[events.Event]) -> dict[str, Tensor]:
    """The network's tensors in the last checkpoint."""
    return state(found)["network"]


def same(a: Any, b: Any) -> bool:
    """Equal to the last bit, at any depth."""
    if isinstance(a, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and a.equal(b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def journal(path: Path) -> list[dict[str, Any]]:
    """The lines of a journal without clock readings."""
    import json

    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.endswith("_seconds")} for line in lines]


def journals(folder: Path) -> dict[str, list[str]]:
    """The journals of all runs of an experiment, byte for byte but for clock readings."""
    import json

    return {
        f"{path.parent.name}/{path.name}": [json.dumps(line) for line in journal(path)]
        for path in sorted(folder.glob("*/*.jsonl"))
    }


def logits_by_hand(tensors: dict[str, Tensor], x: Any, norm: str, eps: float = 1e-5) -> Any:
    """The MLP in evaluation mode, norm before ReLU, in NumPy and float64. x: [N, F] -> [N, K]."""
    import numpy as np

    get = {name: tensor.double().numpy() for name, tensor in tensors.items()}
    depth = 1 + max(int(name.split(".")[1]) for name in get if name.startswith("blocks."))
    for i in range(depth):
        z = x @ get[f"blocks.{i}.linear.weight"].T + get[f"blocks.{i}.linear.bias"]
        if norm == "batch":
            mean, var = get[f"blocks.{i}.norm.running_mean"], get[f"blocks.{i}.norm.running_var"]
            z = (z - mean) / np.sqrt(var + eps)
        elif norm == "layer":
            z = z - z.mean(1, keepdims=True)
            z = z / np.sqrt((z**2).mean(1, keepdims=True) + eps)
        elif norm == "rms":
            z = z / np.sqrt((z**2).mean(1, keepdims=True) + eps)
        z = z * get.get(f"blocks.{i}.norm.weight", 1.0) + get.get(f"blocks.{i}.norm.bias", 0.0)
        x = np.maximum(z, 0)
    return x @ get["head.weight"].T + get["head.bias"]


def pixels(dataset: Dataset, images: Any) -> Any:
    """uint8 images of one channel as normalized float64 rows."""
    rows = images.reshape(len(images), -1).astype("float64") / 255
    return (rows - dataset.mean[0]) / dataset.std[0]
