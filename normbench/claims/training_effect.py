"""Statements 3 and 6: what batch norm and layer norm do for training."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from normbench.comparison import Comparison
from normbench.report.columns import difference, number
from normbench.claims.base import CLAIMS, Claim, Finding
from normbench.claims.context import Context
from normbench.claims.rules import Part, combine, more, part_of, trains


def largest_rates(comparison: Comparison, target: float) -> dict[str, float]:
    """The largest learning rate of the grid that trains each norm; NaN where none does.

    A rate trains a norm by ``rules.trains``, the mean being over the tuning seeds, with chance
    after a divergence.
    """
    table, runs = comparison.sensitivity, comparison.results.runs
    if table.empty or "num_classes" not in runs:
        return {}
    chance = 1 / runs["num_classes"].median()
    found = {}
    for norm, part in table.groupby("norm", sort=False):
        good = [trains(accuracy, chance, target) for accuracy in part["val_accuracy_mean"]]
        found[str(norm)] = float(part.loc[good, "tuned"].max())
    return found


def effect_parts(found: dict[str, Any]) -> dict[str, Part]:
    """stable: larger rates train it, or (at equal rates) it reaches the target in more seeds.

    faster: steps to the target, at the shared rate and at each norm's own best.
    """
    stable = more(found["largest_rate"], found["largest_rate_none"])
    if stable is None and found["runs"]:
        stable = more(found["reached"], found["reached_none"])
    return {
        "stable": stable,
        "faster": part_of(found["shared"]["verdict"]),
        "faster_at_best": part_of(found["best"]["verdict"]),
    }


def _compared(row: Any) -> dict[str, Any]:
    keys = ("pairs", "difference", "ci_low", "ci_high", "p_adjusted", "verdict")
    return {key: row[key] for key in keys} if row is not None else {"verdict": "not measured"}


def examine(context: Context, *, kind: str, speed: bool) -> Finding:
    """A norm against none, paired by seed, at the shared rate and at each one's own best."""
    study = context.base
    norm, none = context.label(kind), context.label("none")
    rates = largest_rates(study.comparison, study.comparison.targets[0])
    row, other = study.converged(norm) or {}, study.converged(none) or {}
    choices = study.comparison.choices
    best = dict(zip(choices["norm"], choices["best"], strict=True)) if len(choices) else {}
    found: dict[str, Any] = {
        "norm": norm,
        "runs": int(row.get("runs", 0)),
        "reached": int(row.get("reached", 0)),
        "reached_none": int(other.get("reached", 0)),
        "diverged": int(row.get("diverged", 0)),
        "diverged_none": int(other.get("diverged", 0)),
        "shared": _compared(study.paired(norm, "steps_to_target")),
        "best": _compared(study.paired(norm, "steps_to_target", best=True)),
        "best_rate": best.get(norm, math.nan),
        "best_rate_none": best.get(none, math.nan),
        "largest_rate": rates.get(norm, math.nan),
        "largest_rate_none": rates.get(none, math.nan),
    }
    parts = effect_parts(found)
    runs = found["runs"]
    tune = study.comparison.results.config["tune"]
    top = max(tune["optimizer.lr"])
    evidence = [
        f"at rate {context.config.optimizer.lr:g}: reached {found['reached']}/{runs}, without "
        f"{found['reached_none']}/{runs}; diverged {found['diverged']}, without "
        f"{found['diverged_none']}; {_steps(found['shared'])}",
        f"each at its best rate ({number(found['best_rate'])}, without "
        f"{number(found['best_rate_none'])}): {_steps(found['best'])}",
        f"largest rate that trains: {_rate(found['largest_rate'], top)}, without "
        f"{_rate(found['largest_rate_none'], top)}",
    ]
    asked = parts if speed else {"stable": parts["stable"], "faster": parts["faster"]}
    return Finding(
        combine(asked),
        f"{norm} norm against none, paired by seed, over a grid of learning rates",
        evidence,
        {**found, "parts": asked},
        [study.command],
    )


def _rate(value: float, top: float) -> str:
    if math.isnan(value):
        return "none of the grid"
    return f"{number(value)} (the grid's highest)" if value >= top else number(value)


def _steps(compared: dict[str, Any]) -> str:
    if "difference" not in compared:
        return "steps to target not measured"
    gap = difference("steps_to_target", compared["difference"])
    p = number(compared["p_adjusted"], 2)
    return f"steps to target {gap} (p {p}): {compared['verdict']}"


CLAIMS.register("batch-training")(
    Claim(
        3,
        "Batch norm stabilizes training and speeds up convergence.",
        partial(examine, kind="batch", speed=True),
    )
)
CLAIMS.register("layer-training")(
    Claim(
        6,
        "Layer norm stabilizes training.",
        partial(examine, kind="layer", speed=False),
    )
)
