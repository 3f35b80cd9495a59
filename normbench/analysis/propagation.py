"""The propagation table: how signals and gradients pass through a network, beside theory.

The definitions are those of ``analysis.signal``; the theory is ``analysis.theory``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis import signal, theory

FACTOR = 1e4

CONVOLUTIONS = "convolutions: theory leaves out their borders and correlated positions"
"""Why theory has no value for them."""

# An energy slope of exactly 1 (all homogeneous activations) comes out of quadrature within this.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Propagation:
    """What a probe found.

    table: see ``table``; landscape: see ``landscape_table``, empty unless asked for; keys: the
    sweep keys.
    """

    experiment: str
    keys: list[str]
    table: pd.DataFrame
    landscape: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def layers(self) -> pd.DataFrame:
        """One row a layer: norm, <keys>, step, layer (from 1, at the input), quantities.

        The quantities are the registered probes', each the median over seeds.
        """
        named = ["norm", *self.keys, "step"]
        return pd.DataFrame(
            [
                {**{name: row[name] for name in named}, **layer}
                for row in self.table.to_dict("records")
                for layer in row["layers"]
            ]
        )


def expected(*, ordinary: bool, **conditions: Any) -> tuple[float, str]:
    """The theory's growth per layer at initialization, and, where it is NaN, why.

    conditions: the arguments of ``theory.growth``; ordinary: whether weights and activation are
    those that theory knows, replaced by no method.
    """
    if not ordinary:
        return np.nan, "the method replaces the weights or the activation"
    if conditions["spatial"]:
        return np.nan, CONVOLUTIONS
    if conditions["statistics"] == "batch" and conditions["placement"] == "pre":
        slope = theory.energy_slope(conditions["phi"], conditions["dphi"])
        if slope > 1 + _ROUNDING:
            return np.nan, (
                "with this activation a few examples take over the batch's variance, and the "
                f"theory's fixed point is unstable (an example's excess grows by {slope:.2f} a "
                "layer)"
            )
    value = theory.growth(**conditions)
    if value is None:
        least = theory.LARGE if conditions["placement"] == "post" else 4
        return np.nan, (
            f"with the norm in {conditions['placement']}, theory needs {least} or more values "
            "behind a statistic"
        )
    return value, ""


def table(readings: pd.DataFrame, points: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a sweep point, norm and step, in the order of the readings.

    readings: one row a run and step, with norm, point (index into ``points``, the sweep values),
    step, signals (quantity -> [L], or None where the run had diverged) and conditions (the
    arguments of ``expected``). Columns:

    norm, <keys>, step, growth_per_layer (activation gradient; geometric mean over seeds, 0 if it
    vanished altogether in any), growth_std (over seeds), weight_growth_per_layer,
    weight_growth_std, theory (geometric mean; at step 0 only), ratio (growth over theory),
    theory_note, verdict (of ``signal.propagation``, or "diverged"), depth_for_1e4 (layers over
    which the squared activation gradient norm changes by 1e4, up or down), dead_units (mean over
    layers and seeds), seeds (measured), diverged, growth_by_seed [seeds], layers (a list with one
    mapping a layer, from the input: layer, and each quantity's median over seeds).
    """
    rows = []
    for (point, norm, step), group in readings.groupby(["point", "norm", "step"], sort=False):
        rows.append(
            {"norm": norm, **points[point], "step": step, **_summary(group, at_start=step == 0)}
        )
    return pd.DataFrame(rows)


def _summary(group: pd.DataFrame, *, at_start: bool) -> dict[str, Any]:
    measured = [signals for signals in group["signals"] if signals is not None]
    stacked = {  # quantity -> [seeds, L]
        name: np.array([signals[name] for signals in measured], dtype=float)
        for name in (measured[0] if measured else ())
    }
    growths = _growths(stacked, "activation_gradient")
    weights = _growths(stacked, "weight_gradient")
    growth = _geometric_mean(growths)
    value, reason = np.nan, "theory is of step 0"
    if at_start:
        values, reasons = zip(*(expected(**c) for c in group["conditions"]), strict=True)
        value, reason = _geometric_mean(np.array(values)), reasons[0]
    medians = {name: np.median(values, axis=0) for name, values in stacked.items()}
    depth = len(next(iter(medians.values()))) if medians else 0
    return {
        "growth_per_layer": growth,
        "growth_std": _spread(growths),
        "weight_growth_per_layer": _geometric_mean(weights),
        "weight_growth_std": _spread(weights),
        "theory": value,
        "ratio": growth / value,
        "theory_note": reason,
        "verdict": signal.propagation(growth, factor=FACTOR) if measured else "diverged",
        "depth_for_1e4": signal.depth_for_factor(growth, FACTOR),
        "dead_units": float(np.mean(stacked["dead_units"])) if measured else np.nan,
        "seeds": len(measured),
        "diverged": len(group) - len(measured),
        "growth_by_seed": growths,
        "layers": [
            {"layer": i + 1, **{name: float(values[i]) for name, values in medians.items()}}
            for i in range(depth)
        ],
    }


def _growths(stacked: Mapping[str, signal.Floats], name: str) -> signal.Floats:
    return signal.growth_of_rows(stacked[name]) if stacked else np.array([])


def _geometric_mean(values: signal.Floats) -> float:
    if not len(values):
        return float("nan")
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.exp(np.mean(np.log(values))))


def _spread(values: signal.Floats) -> float:
    """Standard deviation over seeds; NaN for one."""
    with np.errstate(invalid="ignore"):
        return float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")


def landscape_table(readings: pd.DataFrame, points: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a sweep point, norm and step: medians over seeds of the loss's surroundings.

    readings: one row a run and step with norm, point, step, and the columns below but for
    loss_range; NaN where the run had diverged. Columns: norm, <keys>, step, learning_rate, loss,
    gradient_norm, loss_low, loss_high and loss_range (along the gradient, start included),
    gradient_distance_low and _high (gradient predictiveness: l2 distance from the gradient at the
    start), effective_smoothness, hessian_eigenvalue (largest in magnitude), hessian_residual (its
    relative error is below this), noise_scale (gradient noise scale in examples; inf where the
    noise hides the mean gradient), seeds (measured), diverged.
    """
    readings = readings.assign(loss_range=readings["loss_high"] - readings["loss_low"])
    labels = ["point", "norm", "step"]
    values = [name for name in readings.columns if name not in labels]
    rows = []
    for (point, norm, step), group in readings.groupby(labels, sort=False):
        measured = group[group["loss"].notna()]
        counts = {"seeds": len(measured), "diverged": len(group) - len(measured)}
        medians = measured[values].median().to_dict()
        rows.append({"norm": norm, **points[point], "step": step, **medians, **counts})
    return pd.DataFrame(rows)
