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
    code, points = sweep_points(outcome, keys)
    work = outcome.assign(
        sweep_point=code,
        norm_code=norm_codes(outcome, norms),
        chance=1 / outcome["num_classes"],
        diverged=outcome["state"] == "diverged",
    )
    work = work[(work["norm_code"] >= 0) & work["val_accuracy"].notna()]
    by = work.groupby(["sweep_point", "norm_code", "tuned"], sort=True)
    table = by.agg(
        runs=("val_accuracy", "size"),
        diverged=("diverged", "sum"),
        val_accuracy_mean=("val_accuracy", "mean"),
        val_accuracy_std=("val_accuracy", "std"),
        auc_mean=("auc", "mean"),
        steps_to_target=("steps_to_target", "median"),
        chance=("chance", "first"),
    ).reset_index()
    table["trains"] = trains(table["val_accuracy_mean"], table["chance"], target)
    table.insert(0, "norm", np.array(list(norms), dtype=object)[table["norm_code"]])
    for key in reversed(list(keys)):
        table.insert(1, key, points[key].take(table["sweep_point"].to_numpy()).to_numpy())
    return table.drop(columns=["sweep_point", "norm_code", "chance"])


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
            ours, theirs = (float(own[key].median()) for key in (metric, f"{metric}_shared"))
            gain = 0.0 if ours == theirs else theirs - ours  # both may be infinite
        elif len(own):
            gain = float((own[metric] - own[f"{metric}_shared"]).mean())
        rows.append([*group, len(own), gain, bool(gain < 0)])
    return pd.DataFrame(rows, columns=[*names, "pairs", "gain", "worse"])
