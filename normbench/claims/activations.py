"""Statement 1: what happens inside a deep network without normalization."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from normbench.analysis.signal import growth_of_rows, propagation
from normbench.comparison import Tables
from normbench.report.columns import number
from normbench.claims.base import CLAIMS, Claim, Finding
from normbench.claims.context import Context, Study
from normbench.claims.rules import Part, best_part, combine, settled, varies

NORMALIZED = ("batch", "layer", "rms")


def layers_at_start(tables: Tables, norm: str, point: dict[str, Any]) -> dict[str, Any]:
    """At step 0, over seeds: median activation std by layer [L], and the gradient's growth.

    growth: geometric mean over runs, toward the input; NaN where nothing was probed.
    """
    runs, probes = tables.results.runs, tables.results.probes
    mask = runs["norm"] == norm
    for key, value in point.items():
        mask &= runs[key] == value
    if probes.empty:
        return {"activation_std": [], "growth_per_layer": math.nan}
    rows = probes[probes["run"].isin(runs.loc[mask, "run"]) & (probes["step"] == 0)]
    if rows.empty:
        return {"activation_std": [], "growth_per_layer": math.nan}
    stds = np.median(np.stack(rows["activation_out_std"].to_list()), axis=0)
    growth = growth_of_rows(np.stack(rows["activation_gradient"].to_list()))
    with np.errstate(divide="ignore"):
        mean = float(np.exp(np.log(growth).mean()))
    return {"activation_std": stds.tolist(), "growth_per_layer": mean}


def _situation(context: Context, study: Study, point: dict[str, Any], depth: Any) -> dict[str, Any]:
    none = context.label("none")
    found = layers_at_start(study.comparison.reported, none, point)
    words = {
        kind: row["verdict"]
        for kind in NORMALIZED
        if (row := study.paired(context.label(kind), "auc", **point)) is not None
    }
    row = study.converged(none, **point) or {}
    runs = int(row.get("runs", 0))
    normalized = [study.converged(context.label(kind), **point) or {} for kind in NORMALIZED]
    growth = found["growth_per_layer"]
    return {
        "depth": depth,
        **found,
        "signal": propagation(growth),
        "runs": runs,
        "reached": int(row.get("reached", 0)),
        "diverged": int(row.get("diverged", 0)),
        "val_accuracy_mean": row.get("val_accuracy_mean", math.nan),
        "normalized_reached": {
            kind: int(other.get("reached", 0))
            for kind, other in zip(NORMALIZED, normalized, strict=True)
        },
        "normalized_better": words,
    }


def parts_of(found: dict[str, Any]) -> dict[str, Part]:
    """The parts of the statement at one depth."""
    signal = found["signal"]
    stable = found["reached"] - found["diverged"]
    best = max(found["normalized_reached"].values(), default=0)
    return {
        "varies": varies(found["activation_std"]),
        "vanishes": None if not signal else signal == "vanishes",
        "slow": best_part(found["normalized_better"].values()),
        "unstable": None if not found["runs"] or best == stable else stable < best,
    }


def examine(context: Context) -> Finding:
    """Activations and gradients at the start, and the training, at the config's depth and more."""
    own = getattr(context.config.model, "depth", None)
    found = [_situation(context, context.base, {}, own)]
    commands = [context.base.command]
    if context.depth is not None:
        commands.append(context.depth.command)
        for point in context.depth.comparison.results.config["sweep"]["model.depth"]:
            found.append(_situation(context, context.depth, {"model.depth": point}, point))
    by_depth = {one["depth"]: parts_of(one) for one in found}
    parts = {
        f"{piece} {place}": part
        for piece in next(iter(by_depth.values()))
        for place, part in settled([pieces[piece] for pieces in by_depth.values()]).items()
    }
    evidence = []
    for one in found:
        stds = one["activation_std"]
        drift = f"std {number(stds[0], 2)} to {number(stds[-1], 2)}" if stds else "not probed"
        others = "".join(f", {kind} {n}" for kind, n in one["normalized_reached"].items())
        diverged = f" ({one['diverged']} diverged)" if one["diverged"] else ""
        evidence.append(
            f"{one['depth']} layers: activation {drift}; squared gradient "
            f"x{number(one['growth_per_layer'])} a layer ({one['signal'] or 'unknown'}); of "
            f"{one['runs']} seeds reached: none {one['reached']}{diverged}{others}"
        )
    return Finding(
        combine(parts),
        "un-normalized network: activations and gradients by layer at step 0; training paired "
        "with the normalized ones by the area under the validation curve",
        evidence,
        {"depths": [{**one, "parts": by_depth[one["depth"]]} for one in found]},
        commands,
    )


CLAIMS.register("activations")(
    Claim(
        1,
        "In a deep network without normalization activations vary from layer to layer; gradients "
        "vanish, and training is slow and unstable.",
        examine,
    )
)
