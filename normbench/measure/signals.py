"""A run's network from inside: its signals and the loss around it, at step 0 and later.

What is inspected is a run of its own, trained as far as asked for and thrown away.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from normbench.measure.landscape import (
    Eigenvalue,
    GradientNoise,
    Landscape,
    gradient_noise,
    landscape,
    largest_hessian_eigenvalue,
)
from normbench.probes import ProbeRecorder
from normbench.probes.base import EXAMPLES
from normbench.seeding import stream
from normbench.training.run import Run
from normbench.training.settings import compute_on, kept
from normbench.training.theory_inputs import TheoryInputs

if TYPE_CHECKING:
    from normbench.config import RunConfig
    from normbench.data import Dataset

STEP_LENGTHS = (0.5, 1.0, 2.0, 4.0)
"""Step lengths along the gradient, in learning rates: the range of Santurkar et al. 2018."""

NOISE_BATCHES = 8
HESSIAN_PRODUCTS = 50
HESSIAN_TOLERANCE = 1e-2

Gradient = Literal["loss", "independent"]
"""What is sent backward at step 0: the loss's gradient, or numbers drawn for each example."""

OF_GRADIENT = ("activation_gradient", "weight_gradient", "block_gradient")
"""The quantities that differ between the two."""


@dataclass(frozen=True)
class LossLandscape:
    """The loss around the weights, on the batch of the update that comes next, in float32.

    noise: over mini-batches of the training split without augmentation; None where an epoch has
    only one.
    """

    landscape: Landscape
    eigenvalue: Eigenvalue
    noise: GradientNoise | None


@dataclass
class Inspection:
    """What was seen of one run.

    signals: step -> quantity -> [L] values, first layer first, measured in the update of that step
    before it changes the weights. loss_landscape: step -> the loss around the weights before that
    update. diverged_at: the first update whose loss was not finite, after which there is nothing.
    """

    theory_inputs: TheoryInputs
    signals: dict[int, dict[str, list[float]]] = field(default_factory=dict)
    loss_landscape: dict[int, LossLandscape] = field(default_factory=dict)
    diverged_at: int | None = None


def inspect(
    config: RunConfig,
    dataset: Dataset,
    *,
    signals_at: Collection[int] = (0,),
    landscape_at: Collection[int] = (),
    gradient: Gradient = "loss",
) -> Inspection:
    """Train the run up to the last of these steps, and look at it there.

    gradient: whether the gradients at step 0 are those of the loss, or ``independent_gradients``.
    Steps count updates; each is at most the run's budget. Raises ConfigError when the data cannot
    serve the config.
    """
    run = Run(config, dataset)
    run.network.train()
    run.start_epoch()
    inspection = Inspection(theory_inputs(run))
    for step in range(max([*signals_at, *landscape_at]) + 1):
        if step and step % run.per_epoch == 0:
            run.start_epoch()
        if step in landscape_at:
            inspection.loss_landscape[step] = loss_landscape(run)
        run.first_loss_step = step  # the losses before it are not needed
        recorder = ProbeRecorder(run.assembled) if step in signals_at else None
        drawn = independent_gradients(run) if gradient == "independent" and not step else {}
        run.update(recorder)
        if not math.isfinite(float(run.losses[0])):
            inspection.loss_landscape.pop(step, None)
            inspection.diverged_at = step
            break
        if recorder:
            inspection.signals[step] = recorder.after_step() | drawn
    return inspection


def independent_gradients(run: Run) -> dict[str, list[float]]:
    """The signals of the gradient, where numbers drawn for each example enter the head backward.

    The loss's gradient at the start is nearly the same for all examples of a class, and batch norm
    takes what examples share away: in a residual network, whose skips pass it on, the growth would
    be another than that of the layers. Behind the head, which may start at zero. The run stays as
    it is.
    """
    network = copy.deepcopy(run.assembled)
    inputs: list[Tensor] = []

    def keep(_: nn.Module, args: tuple[Tensor, ...]) -> None:
        inputs.append(args[0])

    if network.head is not None:
        network.module.get_submodule(network.head).register_forward_pre_hook(keep)
    recorder = ProbeRecorder(network)
    x, _ = run.next_batch()
    with recorder.recording(), run.autocast():
        logits = network.module(x)
        at = inputs[-1] if inputs else logits
        rng = stream(run.config.seed, "output gradient")
        drawn = torch.from_numpy(rng.standard_normal(tuple(at.shape), dtype=np.float32))
        at.backward(drawn.to(at))
    recorder.after_backward()
    signals = recorder.after_step()
    return {name: signals[name] for name in OF_GRADIENT if name in signals}


def inspect_all(
    runs: Sequence[tuple[int, str, RunConfig]],
    dataset: Dataset,
    *,
    signals_at: Collection[int],
    landscape_at: Collection[int],
    gradient: Gradient = "loss",
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Inspect runs one after another: what was measured of their signals and loss.

    runs: (index of the sweep point, norm's label, config). Each measurement carries point, norm,
    seed and step, those of signals also the gradient; the rest is as ``analysis.propagation`` takes
    it. progress: the runs done so far.
    """
    signals: list[dict[str, Any]] = []
    around: list[dict[str, Any]] = []
    with kept():
        for done, (sweep_point, norm, config) in enumerate(runs):
            progress(done)
            compute_on(config.runtime)
            inspection = inspect(
                config,
                dataset,
                signals_at=signals_at,
                landscape_at=landscape_at,
                gradient=gradient,
            )
            label = {"sweep_point": sweep_point, "norm": norm, "seed": config.seed}
            known = {"theory_inputs": vars(inspection.theory_inputs)}
            for step in sorted(signals_at):
                measurement = {
                    "step": step,
                    "gradient": "loss" if step else gradient,
                    "signals": inspection.signals.get(step),
                }
                signals.append({**label, **known, **measurement})
            for step in sorted(landscape_at):
                measurement = _flat(inspection.loss_landscape.get(step))
                around.append({**label, "step": step, **measurement})
        progress(len(runs))
    return signals, around


def _flat(around: LossLandscape | None) -> dict[str, Any]:
    """The loss landscape as columns; nothing of a run that had diverged."""
    if around is None:
        return {"loss": math.nan}
    path, noise = around.landscape, around.noise
    scale = math.nan if noise is None else math.inf if noise.scale is None else noise.scale
    return {
        "learning_rate": path.step_lengths[0] / STEP_LENGTHS[0],
        "loss": path.loss,
        "gradient_norm": path.gradient_norm,
        "loss_low": path.loss_range[0],
        "loss_high": path.loss_range[1],
        "gradient_distance_low": path.gradient_distance_range[0],
        "gradient_distance_high": path.gradient_distance_range[1],
        "effective_smoothness": path.effective_smoothness,
        "hessian_eigenvalue": around.eigenvalue.value,
        "hessian_residual": around.eigenvalue.residual,
        "noise_scale": scale,
    }


def theory_inputs(run: Run) -> TheoryInputs:
    """What theory needs to know of a run that stands at step 0, its first epoch drawn."""
    return run.theory_inputs.seen(run.next_batch()[0], EXAMPLES)


def loss_landscape(run: Run) -> LossLandscape:
    """The loss around the weights as they are. Changes nothing in the run."""
    x, y = run.next_batch()
    lengths = [run.full_rate * length for length in STEP_LENGTHS]
    seed, size = run.config.seed, run.config.data.batch_size
    count = min(NOISE_BATCHES, run.per_epoch)
    order = stream(seed, "noise", run.step).permutation(run.train_indices)[: count * size]
    batches = (run.data.batch(indices) for indices in order.reshape(count, size))
    return LossLandscape(
        landscape(run.network, x, y, lengths),
        largest_hessian_eigenvalue(
            run.network,
            x,
            y,
            rng=stream(seed, "hessian", run.step),
            iterations=HESSIAN_PRODUCTS,
            tol=HESSIAN_TOLERANCE,
        ),
        gradient_noise(run.network, batches) if count > 1 else None,
    )
