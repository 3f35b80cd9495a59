"""A run's network from inside: its signals and the loss around it, at step 0 and later.

What is inspected is a run of its own, trained as far as asked for and thrown away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from normbench.measure.landscape import (
    Eigenvalue,
    GradientNoise,
    Landscape,
    gradient_noise,
    landscape,
    largest_hessian_eigenvalue,
)
from normbench.models import ACTIVATIONS
from normbench.models.base import Network, Placement, build
from normbench.norms import Site
from normbench.norms.base import Statistics
from normbench.probes import ProbeRecorder
from normbench.probes.base import EXAMPLES
from normbench.seeding import stream
from normbench.training.run import Run
from normbench.training.settings import compute_on, kept

if TYPE_CHECKING:
    from normbench.config import RunConfig
    from normbench.data import Dataset

Floats = NDArray[np.float64]
Function = Callable[[Floats], Floats]

STEP_LENGTHS = (0.5, 1.0, 2.0, 4.0)
"""Step lengths along the gradient, in learning rates: the range of Santurkar et al. 2018."""

NOISE_BATCHES = 8
HESSIAN_PRODUCTS = 50
HESSIAN_TOLERANCE = 1e-2


@dataclass(frozen=True)
class TheoryInputs:
    """A network at step 0 as theory sees it; the fields are arguments of the theory's growth.

    gains: fan_in * mean(W^2) of each hidden layer; weight_gain, first_gain: of those after the
    first, averaged, and of the first; bias_variance: mean square of the former's biases;
    batch_size: values behind one statistic of a batch (examples times positions); group_size: of
    one example, from so many channels; shapes: of one example at each layer, (F,) or (C, H, W).
    standard_layers: the method replaces neither the weights nor the activation; statistics and
    centered are None where the method has not declared them.
    Of the first batch, None where the input is not known, as first_gain and depth then are:
    input_mean_square [B], of each example; input_map [H, W], at each position of images;
    input_products [N, N], mean product of two examples, for at most the examples that probes
    compare.
    """

    standard_layers: bool
    statistics: Statistics | None
    centered: bool | None
    placement: Placement
    phi: Function
    dphi: Function
    weight_gain: float
    bias_variance: float
    batch_size: int
    group_size: int | None
    channels: int | None
    shapes: tuple[tuple[int, ...], ...]
    gains: tuple[float, ...]
    depth: int | None
    first_gain: float | None
    input_mean_square: Floats | None
    input_map: Floats | None
    input_products: Floats | None


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
) -> Inspection:
    """Train the run up to the last of these steps, and look at it there.

    Steps count updates; each is at most the run's budget. Raises ConfigError when the data cannot
    serve the config.
    """
    run = Run(config, dataset)
    run.network.train()
    run.start_epoch()
    found = Inspection(theory_inputs(run, dataset))
    for step in range(max([*signals_at, *landscape_at]) + 1):
        if step and step % run.per_epoch == 0:
            run.start_epoch()
        if step in landscape_at:
            found.loss_landscape[step] = loss_landscape(run)
        run.first_loss_step = step  # the losses before it are not needed
        recorder = ProbeRecorder(run.network) if step in signals_at else None
        run.update(recorder)
        if not math.isfinite(float(run.losses[0])):
            found.loss_landscape.pop(step, None)
            found.diverged_at = step
            break
        if recorder:
            found.signals[step] = recorder.after_step()
    return found


def inspect_all(
    runs: Sequence[tuple[int, str, RunConfig]],
    dataset: Dataset,
    *,
    signals_at: Collection[int],
    landscape_at: Collection[int],
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Inspect runs one after another: what was measured of their signals and loss.

    runs: (index of the sweep point, norm's label, config). Each measurement carries point, norm,
    seed and step; the rest is as ``analysis.propagation`` takes it. progress: the runs done so far.
    """
    signals: list[dict[str, Any]] = []
    around: list[dict[str, Any]] = []
    with kept():
        for done, (sweep_point, norm, config) in enumerate(runs):
            progress(done)
            compute_on(config.runtime)
            found = inspect(config, dataset, signals_at=signals_at, landscape_at=landscape_at)
            label = {"point": sweep_point, "norm": norm, "seed": config.seed}
            known = {"theory_inputs": vars(found.theory_inputs)}
            for step in sorted(signals_at):
                measurement = {"step": step, "signals": found.signals.get(step)}
                signals.append({**label, **known, **measurement})
            for step in sorted(landscape_at):
                measurement = _flat(found.loss_landscape.get(step))
                around.append({**label, "step": step, **measurement})
        progress(len(runs))
    return signals, around


def _flat(found: LossLandscape | None) -> dict[str, Any]:
    """The loss landscape as columns; nothing of a run that had diverged."""
    if found is None:
        return {"loss": math.nan}
    path, noise = found.landscape, found.noise
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
        "hessian_eigenvalue": found.eigenvalue.value,
        "hessian_residual": found.eigenvalue.residual,
        "noise_scale": scale,
    }


def theory_inputs(run: Run, dataset: Dataset) -> TheoryInputs:
    """What theory needs to know of a run that stands at step 0, its first epoch drawn."""
    x = run.next_batch()[0].double().cpu()
    few = x[:EXAMPLES].flatten(1)
    known = _theory_inputs(run.network, run.config, dataset.image_shape)
    return replace(
        known,
        depth=len(run.network.layers),
        first_gain=_gain(run.network.layers[0].linear),
        input_mean_square=x.square().flatten(1).mean(1).numpy(),
        input_map=x.square().mean((0, 1)).numpy() if x.ndim == 4 else None,
        input_products=(few @ few.T / few.shape[1]).numpy(),
    )


def theory_inputs_without_data(
    config: RunConfig, image_shape: tuple[int, int, int] = (1, 1, 1)
) -> TheoryInputs:
    """The same from the config alone, with what there is to know without the input.

    image_shape: (H, W, C) of the input; any will do for a network that flattens it, and any number
    of channels for one that does not.
    """
    model = config.model
    method = config.norm.method(config.normalization)
    network = build(
        model.kind, model.options(), model.settings(), method, image_shape, 2, config.seed
    )
    return _theory_inputs(network, config, image_shape)


def _theory_inputs(
    network: Network, config: RunConfig, image_shape: tuple[int, int, int]
) -> TheoryInputs:
    method = config.norm.method(config.normalization)
    sites = type(network).sites(config.model.options(), image_shape)
    middle = sites[len(sites) // 2]
    settings = config.model.settings()
    hidden = [block.linear for block in network.layers[1:]]
    biases = [_mean_square(b) for m in hidden if isinstance(b := m.bias, Tensor)]
    phi, dphi = functions(settings.activation)
    return TheoryInputs(
        standard_layers=method.standard_layers,
        statistics=method.statistics,
        centered=method.centered,
        placement=settings.placement,
        phi=phi,
        dphi=dphi,
        weight_gain=float(np.mean([_gain(module) for module in hidden])),
        bias_variance=float(np.mean(biases)) if biases else 0.0,
        batch_size=config.data.batch_size * middle.positions,
        group_size=method.group_size(middle),
        channels=method.group_size(Site(middle.features, 1, 1)),
        shapes=tuple(_shape(site) for site in sites),
        gains=tuple(_gain(block.linear) for block in network.layers),
        depth=None,
        first_gain=None,
        input_mean_square=None,
        input_map=None,
        input_products=None,
    )


def _shape(site: Site) -> tuple[int, ...]:
    if site.height is None or site.width is None:
        return (site.features,)
    return site.features, site.height, site.width


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


@lru_cache
def functions(activation: str) -> tuple[Function, Function]:
    """An activation of ``ACTIVATIONS`` and its derivative, on float64 arrays.

    The same objects for the same name, so that theory need not integrate twice.
    """
    module = ACTIVATIONS[activation]()

    def phi(z: Floats) -> Floats:
        return module(torch.from_numpy(np.ascontiguousarray(z))).numpy()

    def dphi(z: Floats) -> Floats:
        leaf = torch.from_numpy(np.ascontiguousarray(z)).requires_grad_()
        return torch.autograd.grad(module(leaf).sum(), leaf)[0].numpy()

    return phi, dphi


def _gain(module: nn.Module) -> float:
    """fan_in * mean(W^2). W: [out, in] or [out, in, kh, kw]."""
    assert isinstance(module.weight, Tensor)
    return module.weight[0].numel() * _mean_square(module.weight)


def _mean_square(tensor: Tensor) -> float:
    return float(tensor.detach().double().square().mean())
