"""The choice of a tuned value for each norm, by validation alone, on seeds of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.groups import norm_codes, require, sweep_points
from normbench.analysis.rule import METRICS

TRAINS_SHARE = 0.5
"""See ``trains``."""

_CHOSEN_BY = {
    "auc": ("auc_mean", False),
    "val_accuracy": ("val_accuracy_mean", False),
    # The test set steers nothing, so neither this.
    "test_accuracy": ("val_accuracy_mean", False),
    "steps_to_target": ("steps_to_target", True),
}
"""The metric that is judged -> the column of ``sensitivity`` to choose by, and whether less is
better."""


def trains(accuracy: Any, chance: Any, target: float) -> Any:
    """Whether a mean validation accuracy says that a network trains at all.

    It gains over chance at least half of what the primary target is above chance. So it depends on
    the config alone: not on which other norms are listed, nor on a norm's own best, by which one
    that never trains would train everywhere, by noise. Numbers or arrays of them.
    """
    return accuracy - chance >= TRAINS_SHARE * (target - chance)


def sensitivity(
    outcome: pd.DataFrame, keys: Sequence[str], norms: Sequence[str], *, target: float
) -> pd.DataFrame:
    """How each norm does at each value of the tuned key: one row a sweep point, norm and value.

    outcome: rows of ``convergence.outcomes`` for the primary ``target``, over the tuning runs; the
    column ``tuned`` holds the value. Returns norm, <keys>, tuned, runs (with an outcome), diverged,
    val_accuracy_mean, val_accuracy_std (over seeds, chance after a divergence), auc_mean,
    steps_to_target (the median, a miss being infinite), and whether it ``trains``. Points are
    sorted, norms in the order given, values ascending.
    """
    needed = ["norm", "tuned", "state", "val_accuracy", "auc", "steps_to_target", "num_classes"]
    require(outcome, needed, "outcomes")
    sweep_point, points = sweep_points(outcome, keys)
    norm_code = norm_codes(outcome, norms)
    kept = (norm_code >= 0) & outcome["val_accuracy"].notna().to_numpy()
    rows, sweep_point, norm_code = outcome[kept], sweep_point[kept], norm_code[kept]
    # Bins in place of a group-by: a race asks for a table of a few rows before every round.
    codes, grid = pd.factorize(rows["tuned"], sort=True)
    cell = (sweep_point * len(norms) + norm_code) * len(grid) + codes
    _, first, cell, runs = np.unique(
        cell, return_index=True, return_inverse=True, return_counts=True
    )

    def mean(values: Any) -> Any:
        values = np.asarray(values, dtype=float)
        known = ~np.isnan(values)
        counts = np.bincount(cell[known], minlength=len(runs))
        return np.bincount(cell[known], values[known], len(runs)) / counts

    accuracy = rows["val_accuracy"].to_numpy(dtype=float)
    with np.errstate(invalid="ignore", divide="ignore"):  # a single run has no deviation
        average = mean(accuracy)
        deviation = np.sqrt(mean((accuracy - average[cell]) ** 2) * runs / (runs - 1))
        area = mean(rows["auc"])
    steps = rows["steps_to_target"].to_numpy(dtype=float)
    ordered, start = steps[np.lexsort((steps, cell))], np.cumsum(runs) - runs
    low, high = ordered[start + (runs - 1) // 2], ordered[start + runs // 2]
    return pd.DataFrame(
        {
            "norm": np.array(list(norms), dtype=object)[norm_code[first]],
            **{key: points[key].take(sweep_point[first]).to_numpy() for key in keys},
            "tuned": rows["tuned"].iloc[first].to_numpy(),
            "runs": runs,
            "diverged": np.bincount(
                cell[(rows["state"] == "diverged").to_numpy()], minlength=len(runs)
            ),
            "val_accuracy_mean": average,
            "val_accuracy_std": deviation,
            "auc_mean": area,
            # Not by a mean where both are the same: that of two infinities is none.
            "steps_to_target": np.where(low == high, low, (low + high) / 2),
            "trains": trains(average, 1 / rows["num_classes"].to_numpy()[first], target),
        }
    )


def best_first(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """The rows of ``sensitivity`` of one norm at one sweep point, the best value first.

    metric: the one that is judged; the choice is by the same (by validation accuracy where that is
    the test accuracy). Of equals the one with the larger area under the curve, then the smaller
    value.
    """
    column, ascending = _CHOSEN_BY[metric]
    by = dict.fromkeys([column, "auc_mean", "tuned"], False) | {"tuned": True}
    return table.sort_values(list(by), ascending=list((by | {column: ascending}).values()))


def choose(
    table: pd.DataFrame,
    keys: Sequence[str],
    metric: str,
    picked: Mapping[tuple[Any, ...], float] | None = None,
) -> pd.DataFrame:
    """Each norm's own best value, from ``sensitivity``: one row a sweep point and norm.

    metric: the one that is judged, see ``best_first``. picked: (norm, <keys>) -> the value, where
    another than this table chose it; a norm that is not there has none yet.

    Columns: norm, <keys>, best, and of it val_accuracy_mean, auc_mean and steps_to_target;
    largest_that_trains (NaN if none does), at_edge ("lowest" or "highest" of the grid, else ""; the
    true optimum may then lie outside), values (of the grid).
    """
    measured = ["val_accuracy_mean", "auc_mean", "steps_to_target"]
    columns = ["norm", *keys, "best", *measured, "largest_that_trains", "at_edge", "values"]
    rows = []
    for group, part in table.groupby(["norm", *keys], sort=False):
        order = best_first(part, metric)
        if picked is not None:
            if group not in picked:
                continue
            order = part[part["tuned"] == picked[group]]
        best, grid = order.iloc[0], part["tuned"]
        edge = {grid.min(): "lowest", grid.max(): "highest"} if grid.nunique() > 1 else {}
        largest = part.loc[part["trains"], "tuned"].max()
        row = (*group, best["tuned"], *(best[name] for name in measured), largest)
        rows.append([*row, edge.get(best["tuned"], ""), len(grid)])
    return pd.DataFrame(rows, columns=columns)


def against_shared(
    best: pd.DataFrame, shared: pd.DataFrame, keys: Sequence[str], metric: str
) -> pd.DataFrame:
    """Whether the choice was worth it: each norm at its own best less at the value of all.

    best, shared: ``convergence.outcomes`` of the reporting runs for the primary target. Returns
    norm, <keys>, pairs (seeds with an outcome at both values), gain (the mean of best less shared;
    in steps their medians, shared less best; positive is better) and worse (gain below zero: the
    tuning seeds chose a value that does not do better on others). NaN and False without a pair.
    """
    names = ["norm", *keys]
    pairs = best[[*names, "seed", metric]].merge(
        shared[[*names, "seed", metric]], on=[*names, "seed"], suffixes=("", "_shared"), how="left"
    )
    rows = []
    for group, part in pairs.groupby(names, sort=False, dropna=False):
        own = part[part[metric].notna() & part[f"{metric}_shared"].notna()]
        gain = np.nan
        if len(own) and METRICS[metric].ranked:
            ours, theirs = _median(own[metric]), _median(own[f"{metric}_shared"])
            gain = 0.0 if ours == theirs else theirs - ours  # both may be infinite
        elif len(own):
            gain = float((own[metric] - own[f"{metric}_shared"]).mean())
        rows.append([*group, len(own), gain, bool(gain < 0)])
    return pd.DataFrame(rows, columns=[*names, "pairs", "gain", "worse"])


def _median(steps: pd.Series) -> float:
    """The median where values may be infinite, whose mean would be NaN."""
    ordered = np.sort(steps.to_numpy(dtype=float))
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return float(low if low == high else (low + high) / 2)
