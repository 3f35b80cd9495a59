"""Statement 9: what RMS norm computes, and its learnable scale."""

from __future__ import annotations

from typing import Any

from torch.nn import functional as F

from normbench.report.columns import number
from normbench.claims.base import CLAIMS, Claim, Finding
from normbench.claims.context import Context, first_batch, steps
from normbench.claims.moments import UPDATES, norm_outputs
from normbench.claims.rules import MOMENT_TOLERANCE, Part, combine
from normbench.training.run import Run


def formula_error(run: Run, eps: float) -> dict[str, float]:
    """On a real batch, the largest over all layers of: the difference from
    x / sqrt(mean(x^2) + eps), |rms - 1| of an example's output, and |mean| of it.

    With the axes ``c`` an example's output is that at one of its positions.
    """
    x, _ = first_batch(run)
    axes = run.config.norm.options().axes or run.config.normalization.axes
    error = off = mean = 0.0
    for before, after in norm_outputs(run, x):
        dims = (1,) if axes == "c" else tuple(range(1, before.ndim))
        square = before.square().mean(dims, keepdim=True)
        error = max(error, float((after - before / (square + eps).sqrt()).abs().max()))
        off = max(off, float((after.square().mean(dims).sqrt() - 1).abs().max()))
        mean = max(mean, float(after.mean(dims).abs().max()))
    return {"formula_error": error, "rms_off_by": off, "largest_mean": mean}


def gamma(run: Run) -> dict[str, Any]:
    """The scale's gradient on the first batch, and how far it moves in a few updates."""
    names = [name for name, _ in run.network.layers[0].norm.named_parameters()]
    x, y = first_batch(run)
    F.cross_entropy(run.network(x), y).backward()
    scales = [block.norm.get_parameter("weight") for block in run.network.layers if names]
    gradients = [float(scale.grad.norm()) for scale in scales if scale.grad is not None]
    steps(run, UPDATES)
    moved = [float((scale.detach() - 1).abs().max()) for scale in scales]
    return {
        "parameters": names,
        "gradient_norm_smallest": min(gradients, default=0.0),
        "gradient_norm_largest": max(gradients, default=0.0),
        "moved_largest": max(moved, default=0.0),
        "updates": run.step,
    }


def parts_of(found: dict[str, Any]) -> dict[str, Part]:
    """divides: the formula holds; scales: a scale that has a gradient and moves, and no shift."""
    learns = found["gradient_norm_largest"] > 0 and found["moved_largest"] > 0
    return {
        "divides": found["formula_error"] < MOMENT_TOLERANCE,
        "scales": learns and found["parameters"] == ["weight"],
    }


def examine(context: Context) -> Finding:
    """The config's own RMS norm layers on real data."""
    eps = context.config.normalization.eps
    run = context.network_run("rms")
    found: dict[str, Any] = {"eps": eps, **formula_error(run, eps), **gamma(run)}
    parts = parts_of(found)
    evidence = [
        f"off from x / sqrt(mean(x^2) + eps) by at most {number(found['formula_error'], 2)}; rms "
        f"of an example's output off from 1 by at most {number(found['rms_off_by'], 2)} "
        f"(eps {eps:g}), its mean up to {number(found['largest_mean'], 2)}: not re-centred",
        f"learns {' and '.join(found['parameters']) or 'nothing (affine: false)'}; gradient norm "
        f"of the scale {number(found['gradient_norm_smallest'], 2)} to "
        f"{number(found['gradient_norm_largest'], 2)}; moved by up to "
        f"{number(found['moved_largest'], 2)} in {found['updates']} updates",
    ]
    return Finding(
        combine(parts),
        "outputs of every RMS norm layer on a real batch at step 0 (scale 1) against the formula "
        "in float64; the scale's gradient and its change in training",
        evidence,
        {**found, "parts": parts},
        context.direct(9),
    )


CLAIMS.register("rms-formula")(
    Claim(
        9,
        "RMS norm divides by the root mean square and multiplies by a learned scale.",
        examine,
    )
)
