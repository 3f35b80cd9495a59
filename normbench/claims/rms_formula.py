"""Statement 9: what RMS norm computes, and its learnable scale.

The rule, fixed here: the outputs are x over the root mean square of an example but for rounding;
"for each feature" would make each feature's own root mean square over the batch 1; the scale has a
gradient, moves in training, and no shift stands beside it.
"""

from __future__ import annotations

from typing import Any

from torch.nn import functional as F

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context, first_batch, steps
from normbench.claims.moments import UPDATES, by_feature, norm_outputs
from normbench.claims.verdicts import MOMENT_TOLERANCE, Piece, judge, unchanged
from normbench.report.columns import number
from normbench.training.run import Run


def formula_error(run: Run, eps: float) -> dict[str, float]:
    """On a real batch, the largest over all layers of: the difference from
    x / sqrt(mean(x^2) + eps), |rms - 1| of an example's output, |mean| of it, and |rms - 1| of a
    feature over the batch.

    With the axes ``c`` an example's output is that at one of its positions.
    """
    x, _ = first_batch(run)
    axes = run.config.norm.options().axes or run.config.normalization.axes
    error = off = mean = feature = 0.0
    for before, after in norm_outputs(run, x):
        dims = (1,) if axes == "c" else tuple(range(1, before.ndim))
        square = before.square().mean(dims, keepdim=True)
        error = max(error, float((after - before / (square + eps).sqrt()).abs().max()))
        off = max(off, float((after.square().mean(dims).sqrt() - 1).abs().max()))
        mean = max(mean, float(after.mean(dims).abs().max()))
        own = by_feature(after).square().mean(0).sqrt()
        feature = max(feature, float((own - 1).abs().max()))
    return {
        "formula_error": error,
        "rms_off_by": off,
        "largest_mean": mean,
        "feature_rms_off_by": feature,
    }


def gamma(run: Run) -> dict[str, Any]:
    """The scale's gradient on the first batch, and how far it moves in a few updates."""
    names = [name for name, _ in run.assembled.norms()[0].named_parameters()]
    x, y = first_batch(run)
    F.cross_entropy(run.network(x), y).backward()
    scales = [norm.get_parameter("weight") for norm in run.assembled.norms() if names]
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


def pieces_of(measured: dict[str, Any]) -> list[Piece]:
    """divides: the formula holds; for each feature: a feature's own root mean square over the batch
    is 1, as the words say; scales: a scale that has a gradient and moves, and no shift."""
    learns = measured["gradient_norm_largest"] > 0 and measured["moved_largest"] > 0
    off = measured["feature_rms_off_by"]
    return [
        Piece(
            "divides by the root mean square",
            {},
            measured["formula_error"] < MOMENT_TOLERANCE,
            f"off from x / sqrt(mean(x^2) + eps) of an example by at most "
            f"{number(measured['formula_error'], 2)}; its output's root mean square off from 1 by "
            f"at most {number(measured['rms_off_by'], 2)} (eps {measured['eps']:g}), its mean up "
            f"to {number(measured['largest_mean'], 2)}: not re-centred",
        ),
        Piece(
            "for each feature",
            {},
            unchanged(off),
            "one root mean square for all features of an example: a feature's own, over the batch, "
            f"is off from 1 by up to {number(off, 2)}",
        ),
        Piece(
            "a learned scale",
            {},
            learns and measured["parameters"] == ["weight"],
            f"learns {' and '.join(measured['parameters']) or 'nothing (affine: false)'}; gradient "
            f"norm {number(measured['gradient_norm_smallest'], 2)} to "
            f"{number(measured['gradient_norm_largest'], 2)}; moved by up to "
            f"{number(measured['moved_largest'], 2)} in {measured['updates']} updates",
        ),
    ]


def examine(context: Context) -> Evidence:
    """The config's own RMS norm layers on real data."""
    eps = context.config.normalization.eps
    run = context.network_run("rms")
    measured: dict[str, Any] = {"eps": eps, **formula_error(run, eps), **gamma(run)}
    return Evidence(
        judge(pieces_of(measured)),
        "outputs of every RMS norm layer on a real batch at step 0 (scale 1) against the formula "
        "in float64; the scale's gradient and its change in training",
        context.direct(9),
        ["as it is: one root mean square over all features of an example, one scale a feature"],
        measured,
    )


CLAIMS.register("rms-formula")(
    Claim(
        9,
        "RMS norm: divides by each feature's root mean square, scales",
        "RMS norm divides by the root mean square for each feature and multiplies by a learned "
        "scale.",
        examine,
    )
)
