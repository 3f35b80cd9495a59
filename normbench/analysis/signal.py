"""How the gradient signal grows from layer to layer, from the recorded probes.

The definitions are those of PROTOCOL.md, "Signals inside the network".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from normbench.analysis.groups import OUTCOME_STATES, norm_codes, require, sweep_points

Floats = NDArray[np.float64]

PROBE_COLUMNS = (
    *("run", "step", "activation_gradient", "weight_gradient", "activation_out_std"),
    *("dead_units", "update_ratio"),
)
QUANTILES = tuple(f"activation_in_q{q:02}" for q in (5, 25, 50, 75, 95))
"""Of the activation function's input, as the probes name them."""
LATER = ("layer_size", "effective_rank", "example_cosine", *QUANTILES)
"""Quantities that an older normbench did not probe: missing there."""
TABLE_COLUMNS = (
    # the command line contract's
    *("step", "growth_per_layer", "first_layer_grad_norm", "last_layer_grad_norm", "dead_units"),
    # ours
    *("weight_growth_per_layer", "activation_std_first", "activation_std_last", "update_ratio"),
    *("effective_rank", "example_cosine", "runs", "vanished", "by_layer"),
)
"""The columns of the gradient table, after norm and the sweep keys."""


def middle_layers(depth: int) -> slice:
    """The layers that growth is fitted over: all but the outer fifth at each end.

    max(1, depth // 5) layers are left out at either end, where the input and the classifier head
    make the gradient differ; with fewer than 5 layers all are kept.
    """
    if depth < 5:
        return slice(0, depth)
    outer = max(1, depth // 5)
    return slice(outer, depth - outer)


def growth_per_layer(norms: ArrayLike) -> float:
    """Factor by which the squared gradient norm changes per layer toward the input.

    exp(slope) of the least-squares line through ln(norm^2) against depth counted toward the input,
    over the middle layers. 1 preserves, below 1 vanishes, above 1 explodes.

    norms: [L] of layer 1 (at the input) to L. See ``growth_of_rows`` for zeros, inf and NaN.
    """
    return float(growth_of_rows(np.asarray(norms, dtype=float)[None, :])[0])


def growth_of_rows(norms: Floats, sizes: Floats | None = None) -> Floats:
    """``growth_per_layer`` of each row. norms: [R, L]; returns [R].

    sizes: [R, L] or [1, L], the values of one example at each layer. Where that changes, a stage of
    a CNN ends, and with it the law that one layer follows the other by: the line has one slope, but
    a height of its own for each run of layers of one size. NaN: not known, taken as one stage.

    - A norm of exactly zero among the middle layers gives 0: the gradient has vanished beyond
      floating point (or every unit is dead), and a line through the layers it still reached would
      say otherwise. An infinite one gives inf: it has exploded beyond floating point. Both: NaN.
    - NaN layers are left out. With fewer than two usable layers the growth is NaN.
    """
    middle = np.asarray(norms, dtype=float)[:, middle_layers(norms.shape[1])]
    zero, infinite = (middle == 0).any(axis=1), np.isposinf(middle).any(axis=1)
    usable = np.isfinite(middle) & (middle > 0)
    toward_input = -np.arange(middle.shape[1], dtype=float)
    stage = _stages(sizes, norms.shape)[:, middle_layers(norms.shape[1])]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        y = np.where(usable, 2.0 * np.log(middle), 0.0)  # ln(norm^2), which cannot overflow
        across = along = np.zeros(len(middle))
        for number in range(int(stage.max(initial=0)) + 1):
            own = usable & (stage == number)
            count = own.sum(axis=1)
            x_mean, y_mean = ((own * v).sum(axis=1) / count for v in (toward_input, y))
            x = np.where(own, toward_input - x_mean[:, None], 0.0)
            across = across + np.where(count, (x * (y - y_mean[:, None])).sum(axis=1), 0.0)
            along = along + (x**2).sum(axis=1)
        growth = np.where(along > 0, np.exp(across / along), np.nan)  # two layers of a stage
    growth[zero] = 0.0
    growth[infinite] = np.inf
    growth[zero & infinite] = np.nan
    return growth


def _stages(sizes: Floats | None, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """The number of the stage that each layer belongs to, from 0. [R, L]"""
    if sizes is None:
        return np.zeros(shape, dtype=np.int64)
    known = np.broadcast_to(np.nan_to_num(np.asarray(sizes, dtype=float)), shape)
    changes = np.diff(known, axis=1, prepend=known[:, :1]) != 0
    return np.cumsum(changes, axis=1)


def layers_fitted(depth: int, sizes: ArrayLike | None = None) -> int:
    """Layer to layer steps that the line of ``growth_of_rows`` goes through."""
    given = None if sizes is None else np.asarray(sizes, dtype=float)[None]
    stage = _stages(given, (1, depth))[0][middle_layers(depth)]
    return int((np.diff(stage) == 0).sum())


def log_growth_sd(width: float, layers: int) -> float:
    """Standard deviation over seeds of ln(growth), from theory: sqrt(5 / (width * layers)).

    In a ReLU network each layer multiplies an example's squared norm by a factor of variance 5 / n,
    n its width (the kurtosis of a rectified Gaussian: Hanin 2018, arXiv:1801.03744), and layers are
    independent. NaN for no layer.
    """
    return math.sqrt(5 / (width * layers)) if layers > 0 and width > 0 else math.nan


def depth_for_factor(growth: float, factor: float = 1e4) -> float:
    """Number of layers over which the squared gradient norm changes by ``factor``, up or down.

    ln(factor) / |ln(growth)|: inf for a growth of 1, 0 for 0 and inf, NaN for NaN. The default is
    a factor of 100 in the norm itself.
    """
    if math.isnan(growth):
        return math.nan
    if growth <= 0 or math.isinf(growth):
        return 0.0
    rate = abs(math.log(growth))
    return math.log(factor) / rate if rate > 0 else math.inf


def propagation(growth: float, layers: float = 100, factor: float = 1e4) -> str:
    """``vanishes``, ``preserves`` or ``explodes``; empty for NaN.

    A growth preserves if the squared gradient norm needs ``layers`` layers or more to change by
    ``factor``: with the defaults, between 0.912 and 1.096 per layer.
    """
    if math.isnan(growth):
        return ""
    if depth_for_factor(growth, factor) >= layers:
        return "preserves"
    return "vanishes" if growth < 1 else "explodes"


def gradient_table(
    runs: pd.DataFrame, probes: pd.DataFrame, keys: Sequence[str], norms: Sequence[str]
) -> pd.DataFrame:
    """The gradient table: for each sweep point and norm, the first and the last probed step.

    The step is that of the group, over its finished and diverged runs: a run that diverged before
    the last step is not in the last row, and ``runs`` shows it. Where both are the same step there
    is one row. Sweep points are sorted, norms stand in the order given. Columns:

    norm, <keys>, step, growth_per_layer (of the activation gradient; geometric mean over runs, 0
    if it vanished altogether in any), first_layer_grad_norm and last_layer_grad_norm (norm of
    dL/dz of the hidden layer next to the input and next to the head; medians over runs),
    dead_units (share; mean over layers and runs); weight_growth_per_layer (the same fit to
    norm(dL/dW)), activation_std_first and activation_std_last (of the activation function's
    output; medians), update_ratio (median over layers, then runs), effective_rank and
    example_cosine (of the last layer; medians; NaN for runs of an older normbench), runs (probed
    at this step), vanished (runs with a growth of exactly 0), by_layer (float array [L], input
    first: median over runs of the activation gradient norm).

    NaN are left out of means and medians. Raises ValueError for a lacking column.
    """
    require(runs, ["run", "norm", "state"], "runs")
    require(probes, PROBE_COLUMNS, "probes")
    sweep_point, points = sweep_points(runs, keys)
    norm = norm_codes(runs, norms)
    group_of_run = np.where(norm >= 0, sweep_point * len(norms) + norm, -1)
    group_of_run[~runs["state"].isin(OUTCOME_STATES).to_numpy()] = -1
    row = pd.Index(runs["run"]).get_indexer(pd.Index(probes["run"]))
    group = np.full(len(probes), -1, dtype=np.int64)
    group[row >= 0] = group_of_run[row[row >= 0]]

    used = probes[group >= 0].assign(group=group[group >= 0])
    steps = used.groupby("group")["step"]
    used = used[(used["step"] == steps.transform("min")) | (used["step"] == steps.transform("max"))]
    depth = used["activation_gradient"].map(np.size).to_numpy(dtype=np.int64)
    parts = [_summarize(used[depth == layers]) for layers in np.unique(depth[depth > 0])]
    columns = ["norm", *keys, *TABLE_COLUMNS]
    if not parts:
        return pd.DataFrame(columns=columns)
    table = pd.concat(parts, ignore_index=True).sort_values(["group", "step"], kind="stable")
    point_code, norm_code = np.divmod(table["group"].to_numpy(), len(norms))
    table["norm"] = [norms[i] for i in norm_code]
    for key in keys:
        table[key] = points[key].take(point_code).to_numpy()
    return table[columns].reset_index(drop=True)


def _summarize(used: pd.DataFrame) -> pd.DataFrame:
    """Rows of the table for probes of networks of one depth, by ``group`` (norm and point)."""
    by = [used["group"].to_numpy(), used["step"].to_numpy()]
    gradient = _stack(used["activation_gradient"])
    weight = _stack(used["weight_gradient"])
    spread = _stack(used["activation_out_std"])
    rank, cosine, sizes = (
        _later(used, name, gradient.shape)
        for name in ("effective_rank", "example_cosine", "layer_size")
    )
    growth = growth_of_rows(gradient, sizes)
    run = pd.DataFrame(
        {
            "first_layer_grad_norm": gradient[:, 0],
            "last_layer_grad_norm": gradient[:, -1],
            "activation_std_first": spread[:, 0],
            "activation_std_last": spread[:, -1],
            "update_ratio": pd.DataFrame(_stack(used["update_ratio"])).median(axis=1),
            "effective_rank": rank[:, -1],
            "example_cosine": cosine[:, -1],
        }
    )
    dead = pd.Series(pd.DataFrame(_stack(used["dead_units"])).mean(axis=1))
    table = run.groupby(by).median()
    table["growth_per_layer"] = _geometric_mean(growth, by)
    table["weight_growth_per_layer"] = _geometric_mean(
        growth_of_rows(weight, _later(used, "layer_size", weight.shape)), by
    )
    table["dead_units"] = dead.groupby(by).mean()
    table["runs"] = run.groupby(by).size()
    table["vanished"] = pd.Series(growth == 0).groupby(by).sum().astype(int)
    layers = pd.DataFrame(gradient).groupby(by).median().to_numpy()
    table["by_layer"] = pd.Series(list(layers), index=table.index, dtype=object)
    table.index.names = ["group", "step"]
    return table.reset_index()


def _geometric_mean(values: Floats, by: list[NDArray[Any]]) -> pd.Series:
    with np.errstate(divide="ignore"):
        logs = pd.Series(np.log(values)).groupby(by).mean()
    return pd.Series(np.exp(logs.to_numpy()), index=logs.index)


def _later(used: pd.DataFrame, name: str, shape: tuple[int, ...]) -> Floats:
    """A quantity as [R, L], NaN where a run lacks it."""
    values = used[name] if name in used else [np.nan] * shape[0]
    return np.stack([np.broadcast_to(value, shape[1]) for value in values]).astype(float)


def _stack(column: pd.Series) -> Floats:
    """[R] arrays of one length as [R, L]."""
    return np.stack(column.to_list()).astype(float)
