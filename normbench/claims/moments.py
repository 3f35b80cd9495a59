"""Statement 2: what batch norm does to the moments of each feature.

The rule, fixed here: in training mode, before scale and shift, at step 0 and after ``UPDATES``
updates, every feature's mean is 0 and its variance 1 but for rounding and eps. In evaluation mode,
looked at after the updates, there are no statistics of a mini-batch, so it is told beside.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context, first_batch, steps
from normbench.claims.verdicts import Moments, Piece, judge, unit_variance, zero_mean
from normbench.report.columns import number
from normbench.training.run import Run

UPDATES = 20


def norm_outputs(run: Run, x: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Input and output of every norm layer on a batch, input layer first, float64."""
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((args[0].detach().double(), output.detach().double()))

    handles = [norm.register_forward_hook(keep) for norm in run.assembled.norms()]
    try:
        with torch.no_grad():
            run.network(x)
    finally:
        for handle in handles:
            handle.remove()
    return seen


def by_feature(x: Tensor) -> Tensor:
    """[N, F] or [N, C, H, W] -> [values, features]."""
    return x if x.ndim == 2 else x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


def measure(run: Run, x: Tensor, eps: float) -> Moments:
    """The largest deviations over all layers and features, before scale and shift, on this batch.

    A feature whose scale is 0 has no output to be looked at, and is left out.
    """
    mean = variance = beyond = 0.0
    norms = run.assembled.norms()
    for norm, (before, after) in zip(norms, norm_outputs(run, x), strict=True):
        own, normalized = by_feature(before), by_feature(after)
        scale, shift = (_numbers(norm, name, normalized) for name in ("weight", "bias"))
        if shift is not None:
            normalized = normalized - shift
        if scale is not None:
            kept = scale != 0
            own, normalized = own[:, kept], normalized[:, kept] / scale[kept]
        s2 = own.var(0, correction=0)
        var = normalized.var(0, correction=0)
        mean = max(mean, float(normalized.mean(0).abs().max()))
        variance = max(variance, float((var - 1).abs().max()))
        beyond = max(beyond, float((var - s2 / (s2 + eps)).abs().max()))
    return Moments(mean, variance, beyond)


def _numbers(norm: nn.Module, name: str, like: Tensor) -> Tensor | None:
    """A parameter of the norm in float64; None where it has none."""
    parameter = getattr(norm, name, None)
    return parameter.detach().to(like) if isinstance(parameter, Tensor) else None


def examine(context: Context) -> Evidence:
    """The outputs of the config's own batch norm layers on real data."""
    eps = context.config.normalization.eps
    run = context.network_run("batch")
    x, _ = first_batch(run)
    start = measure(run, x, eps)
    run = context.network_run("batch")  # the forward pass above moved the running statistics
    steps(run, UPDATES)
    updates = run.step
    run.network.eval()
    evaluation = measure(run, x, eps)
    run.network.train()
    trained = measure(run, x, eps)
    pieces = []
    for when, moments in (("at step 0", start), (f"after {updates} updates", trained)):
        where = {"mode": "training mode, before scale and shift", "when": when}
        told = f"|mean| at most {number(moments.mean, 2)}"
        pieces.append(Piece("mean 0", where, zero_mean(moments), told, {"mean": moments.mean}))
        told = (
            f"|variance - 1| at most {number(moments.variance, 2)}, of which eps {eps:g} explains "
            f"all but {number(moments.beyond_eps, 2)}"
        )
        numbers = {"variance": moments.variance, "beyond_eps": moments.beyond_eps}
        pieces.append(Piece("variance 1", where, unit_variance(moments), told, numbers))
    return Evidence(
        judge(pieces),
        "outputs of every batch norm layer on a real batch, before its scale and shift, at step 0 "
        f"and after {updates} updates",
        context.direct(2),
        [
            f"in evaluation mode after {updates} updates running averages stand in place of the "
            f"batch's: |mean| up to {number(evaluation.mean, 2)}, |variance - 1| up to "
            f"{number(evaluation.variance, 2)} on the same batch"
        ],
        {
            "eps": eps,
            "batch_size": context.config.data.batch_size,
            "at_start": start._asdict(),
            "after_updates": {"updates": updates, **trained._asdict()},
            "evaluation": {"updates": updates, **evaluation._asdict()},
        },
    )


CLAIMS.register("batch-moments")(
    Claim(
        2,
        "batch norm: mean 0 and variance 1 across the mini-batch",
        "Batch norm gives every feature mean 0 and variance 1 across the mini-batch.",
        examine,
    )
)
