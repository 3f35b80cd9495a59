"""The choice of a tuned value for each norm, by validation alone, on seeds of its own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from normbench.analysis.groups import norm_codes, require, sweep_points

TRAINS_SHARE = 0.5
"""A value trains a norm if it gains this share of what the best norm and value gain over chance.

A norm's own best is no measure: one that never trains would then train everywhere, by noise.
"""


def sensitivity(outcome: pd.DataFrame, keys: Sequence[str], norms: Sequence[str]) -> pd.DataFrame:
    """How each norm does at each value of the tuned key: one row a sweep point, norm and value.

    outcome: rows of ``convergence.outcomes`` for one target, over the tuning runs; the column
    ``tuned`` holds the value. Returns norm, <keys>, tuned, runs (with an outcome), diverged,
    val_accuracy_mean, val_accuracy_std (over seeds, chance after a divergence), auc_mean, and
    trains: whether val_accuracy_mean exceeds chance by at least half of what the best norm
    and value do at this sweep point. Points are sorted, norms in the order given, values
    ascending.
    """
    require(outcome, ["norm", "tuned", "state", "val_accuracy", "auc", "num_classes"], "outcomes")
    point, points = sweep_points(outcome, keys)
    work = outcome.assign(
        point=point,
        place=norm_codes(outcome, norms),
        chance=1 / outcome["num_classes"],
        diverged=outcome["state"] == "diverged",
    )
    work = work[(work["place"] >= 0) & work["val_accuracy"].notna()]
    by = work.groupby(["point", "place", "tuned"], sort=True)
    table = by.agg(
        runs=("val_accuracy", "size"),
        diverged=("diverged", "sum"),
        val_accuracy_mean=("val_accuracy", "mean"),
        val_accuracy_std=("val_accuracy", "std"),
        auc_mean=("auc", "mean"),
        chance=("chance", "first"),
    ).reset_index()
    gain = table["val_accuracy_mean"] - table["chance"]
    best = gain.groupby(table["point"]).transform("max")
    table["trains"] = (gain >= TRAINS_SHARE * best) & (best > 0)
    table.insert(0, "norm", np.array(list(norms), dtype=object)[table["place"]])
    for key in reversed(list(keys)):
        table.insert(1, key, points[key].take(table["point"].to_numpy()).to_numpy())
    return table.drop(columns=["point", "place", "chance"])


def choose(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Each norm's own best value, from ``sensitivity``: one row a sweep point and norm.

    The best value has the highest mean validation accuracy; of equals the one with the larger area
    under the curve, then the smaller value. Columns: norm, <keys>, best, val_accuracy_mean,
    largest_that_trains (NaN if none does), at_edge ("lowest" or "highest" of the grid, else "";
    the true optimum may then lie outside), values (of the grid).
    """
    columns = ["norm", *keys, "best", "val_accuracy_mean", "largest_that_trains", "at_edge"]
    rows = []
    for group, part in table.groupby(["norm", *keys], sort=False):
        order = part.sort_values(
            ["val_accuracy_mean", "auc_mean", "tuned"], ascending=[False, False, True]
        )
        best, grid = order.iloc[0], part["tuned"]
        edge = {grid.min(): "lowest", grid.max(): "highest"} if grid.nunique() > 1 else {}
        largest = part.loc[part["trains"], "tuned"].max()
        row = (*group, best["tuned"], best["val_accuracy_mean"], largest)
        rows.append([*row, edge.get(best["tuned"], ""), len(grid)])
    return pd.DataFrame(rows, columns=[*columns, "values"])
