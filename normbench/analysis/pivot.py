"""One metric against one sweep key: norms down, the key's values across."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from normbench.analysis.groups import sweep_points
from normbench.errors import ConfigError, Problem, suggest


def pivot(table: pd.DataFrame, metric: str, by: str, keys: Sequence[str] = ()) -> pd.DataFrame:
    """Spread ``metric`` of a convergence, gradient or comparison table over the values of ``by``.

    table: one row for each norm and sweep point (choose the rows of one target, step or metric
    first). Returns a frame indexed by norm, in the table's order, and by the other ``keys``, if
    any; its columns are the sorted values of ``by``. A norm without a run at a value has NaN there.
    Values keep their type: infinite, words and counts as they are in the table.

    Raises ConfigError for an unknown metric or key, ValueError if norm and sweep point do not
    identify a row.
    """
    sweep = [key for key in keys if key in table.columns]
    if by not in table.columns or (keys and by not in keys):
        known = sweep or [name for name in table.columns if "." in name]
        raise ConfigError([Problem("by", f"no sweep over {by!r}", suggest(by, known))])
    if metric not in table.columns:
        known = [name for name in table.columns if name not in ("norm", *sweep)]
        raise ConfigError([Problem("metric", f"no column {metric!r}", suggest(metric, known))])
    others = [key for key in sweep if key != by]
    if table.duplicated(["norm", by, *others]).any():
        raise ValueError("several rows for a norm and sweep point: choose one target or metric")

    column, values = sweep_points(table, [by])
    row_key = ["norm", *others]
    rows = table[row_key].drop_duplicates()
    rank = {norm: index for index, norm in enumerate(dict.fromkeys(table["norm"]))}
    sweep_point, _ = sweep_points(rows, others)
    rows = rows.assign(_point=sweep_point, _norm=rows["norm"].map(rank))
    rows = rows.sort_values(["_point", "_norm"])[row_key]
    wide = table.assign(_column=column).pivot(index=row_key, columns="_column", values=metric)
    index = pd.MultiIndex.from_frame(rows) if others else pd.Index(rows["norm"], name="norm")
    wide = wide.reindex(index=index, columns=range(len(values)))
    wide.columns = pd.Index(values[by].tolist(), name=by)
    return wide
