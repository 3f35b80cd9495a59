"""Experiments with made-up results: every planned run gets a curve and a first probe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from normbench.claims.context import Context
from normbench.claims.studies import Origin
from normbench.config import ExperimentConfig, load
from normbench.data import Dataset
from normbench.plan import PlannedRun, best_runs, expand
from normbench.results.experiment import ExperimentResult
from normbench.seeding import stream
from normbench.store import Results

TEXT = """\
name: made-up
data: {dataset: digits, validation: 100, batch_size: 32}
model: {kind: mlp, depth: 4, width: 16, init: torch_default}
norms: [none, batch, layer, rms]
optimizer: {kind: sgd, lr: 0.1}
training: {steps: 100, evaluate_every: 10}
target: {val_accuracy: 0.9}
seeds: 12
tune: {optimizer.lr: [0.03, 0.1, 1.0], seeds: 3}
"""


@dataclass(frozen=True)
class Fate:
    """What becomes of a run: the step at which it is at 0.95 (101 is never), its divergence, its
    activation std, gradient norm and effective rank by layer; its final validation accuracy, its
    training accuracy, and its validation accuracy with recomputed statistics."""

    reaches: int = 50
    diverged_at: int | None = None
    std: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    gradient: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)
    final: float | None = None
    rank: tuple[float, ...] = (9.0, 9.0, 9.0, 9.0)
    train: float = 0.96
    precise: float | None = None


NEVER = 101
NOISE = 0.001
Story = Callable[[PlannedRun], Fate]


def context(dataset: Dataset, story: Story, *overrides: str) -> Context:
    """A context whose training is made up."""

    def read(more: object) -> ExperimentConfig:
        return load(TEXT, [*overrides, *more])  # type: ignore[misc]

    origin = Origin("made-up.yaml", overrides)
    return Context(read, lambda config: tell(config, story), lambda _: dataset, origin, quick=False)


def tell(config: ExperimentConfig, story: Story) -> ExperimentResult:
    """The tables of an experiment, as if it had been trained."""
    plan = expand(config)
    comparison = ExperimentResult(_results(config, plan, story))
    if config.tune is not None:
        plan += best_runs(config, comparison.chosen)
        comparison = ExperimentResult(_results(config, plan, story))
    return comparison


def _results(config: ExperimentConfig, plan: list[PlannedRun], story: Story) -> Results:
    rows, curves, probes = [], [], []
    keys = list(config.sweep)
    for place, run in enumerate(plan):
        fate, name = story(run), f"run{place}"
        # Runs differ a little, as real ones do.
        noise = (
            NOISE
            * stream(
                run.seed, run.norm, run.role, repr([*run.sweep_point.values(), run.tuned])
            ).standard_normal()
        )
        accuracy = {
            step: (0.95 if step >= fate.reaches else 0.3) + noise for step in range(0, NEVER, 10)
        }
        if fate.final is not None:
            accuracy[100] = fate.final + noise
        rows.append(
            {
                "run": name,
                "norm": run.norm,
                "seed": run.seed,
                "role": run.role,
                "state": "finished" if fate.diverged_at is None else "diverged",
                **{key: run.sweep_point.get(key) for key in keys},
                "tuned": next(iter((run.tuned or {}).values()), np.nan),
                "diverged_at": np.nan if fate.diverged_at is None else fate.diverged_at,
                "steps_planned": 100,
                "steps_done": 100,
                "batch_size": run.config.data.batch_size,
                "num_classes": 10,
                "val_accuracy": accuracy[100],
                "test_accuracy": accuracy[100],
                "val_accuracy_precise": (fate.precise or accuracy[100]) + noise / 3,
                "train_seconds": 1.0,
                "backbone_sha256": f"backbone {run.seed}",
                "batch_order_sha256": f"order {run.seed}",
                "epochs_started": 1,
            }
        )
        curves += [
            (name, step, value, 1.0, 1.0, step / 10, fate.train + noise / 2)
            for step, value in accuracy.items()
        ]
        ones = np.ones(len(fate.std))
        probes.append(
            {
                "run": name,
                "step": 0,
                "activation_gradient": np.array(fate.gradient) * np.exp(10 * noise * np.arange(4)),
                "effective_rank": np.array(fate.rank) * (1 + noise),
                "activation_out_std": np.array(fate.std),
                "weight_gradient": ones,
                "dead_units": 0 * ones,
                "update_ratio": ones,
            }
        )
    columns = ["run", "step", "val_accuracy", "val_loss", "train_loss"]
    columns += ["train_seconds", "train_accuracy"]
    return Results(
        config.name,
        Path("nowhere"),
        config.resolved(),
        keys,
        pd.DataFrame(rows),
        pd.DataFrame(curves, columns=columns),
        pd.DataFrame(probes),
    )
