"""Statement 2: what batch norm does to the moments of each feature."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from normbench.report.columns import number
from normbench.claims.base import CLAIMS, Claim, Finding
from normbench.claims.context import Context, first_batch, steps
from normbench.claims.rules import Moments, moments
from normbench.training.run import Run

UPDATES = 20


def norm_outputs(run: Run, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Input and output of every norm layer on a batch, input layer first, float64."""
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((args[0].detach().double(), output.detach().double()))

    handles = [block.norm.register_forward_hook(keep) for block in run.network.layers]
    try:
        with torch.no_grad():
            run.network(x)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def _by_feature(x: Tensor) -> Tensor:
    """[N, F] or [N, C, H, W] -> [values, features]."""
    return x if x.ndim == 2 else x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def measure(run: Run, x: Tensor, eps: float) -> Moments:
    """The largest deviations over all layers and features, of the outputs on this batch."""
    mean = variance = beyond = 0.0
    for before, after in norm_outputs(run, x):
        own, found = _by_feature(before), _by_feature(after)
        s2 = own.var(0, correction=0)
        var = found.var(0, correction=0)
        mean = max(mean, float(found.mean(0).abs().max()))
        variance = max(variance, float((var - 1).abs().max()))
        beyond = max(beyond, float((var - s2 / (s2 + eps)).abs().max()))
    return Moments(mean, variance, beyond)


def examine(context: Context) -> Finding:
    """The outputs of the config's own batch norm layers on real data."""
    eps = context.config.normalization.eps
    run = context.network_run("batch")
    x, _ = first_batch(run)
    training = measure(run, x, eps)
    run = context.network_run("batch")  # the forward pass above moved the running statistics
    run.network.eval()
    evaluation = measure(run, x, eps)
    run.network.train()
    steps(run, UPDATES)
    trained = measure(run, x, eps)
    numbers: dict[str, Any] = {
        "eps": eps,
        "batch_size": context.config.data.batch_size,
        "training": training._asdict(),
        "evaluation": evaluation._asdict(),
        "after_updates": {"updates": run.step, **trained._asdict()},
    }
    return Finding(
        moments(training),
        "outputs of every batch norm layer on a real batch at step 0 (scale 1, shift 0), then in "
        f"evaluation mode and after {run.step} updates",
        [
            f"training mode: |mean| at most {number(training.mean, 2)}, |variance - 1| at most "
            f"{number(training.variance, 2)} (eps {eps:g} explains all but "
            f"{number(training.beyond_eps, 2)})",
            f"evaluation mode, with running averages in place of the batch: |mean| up to "
            f"{number(evaluation.mean, 2)}, |variance - 1| up to {number(evaluation.variance, 2)}",
            f"after {run.step} updates scale and shift have moved: |mean| up to "
            f"{number(trained.mean, 2)}, |variance - 1| up to {number(trained.variance, 2)}",
        ],
        numbers,
        context.direct(2),
    )


CLAIMS.register("batch-moments")(
    Claim(
        2,
        "Batch norm gives every feature mean 0 and variance 1 across the mini-batch.",
        examine,
    )
)
