"""Sweep points and norms as integer codes, so that tables cost no loop over runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from normbench.constants import OUTCOME_STATES as OUTCOME_STATES

Codes = NDArray[np.int64]


def require(frame: pd.DataFrame, columns: Iterable[str], what: str) -> None:
    """Raise ValueError naming the columns that ``what`` lacks."""
    lacking = [name for name in columns if name not in frame.columns]
    if lacking:
        raise ValueError(f"{what} lacks the columns {', '.join(lacking)}")


def sweep_points(frame: pd.DataFrame, keys: Sequence[str]) -> tuple[Codes, pd.DataFrame]:
    """Each row's sweep point and the points themselves, sorted by ``keys`` from left to right.

    Returns (codes [rows], points with one row a point and the columns ``keys``). Without keys
    there is one point. A missing value is a value of its own and sorts last.
    """
    require(frame, keys, "runs")
    combined = np.zeros(len(frame), dtype=np.int64)
    for key in keys:
        codes, count = _factorize(frame[key])
        # Made dense again after every key, so that the product of the counts cannot overflow.
        combined = np.unique(combined * count + codes, return_inverse=True)[1].astype(np.int64)
    first = np.unique(combined, return_index=True)[1]
    return combined, frame[list(keys)].iloc[first].reset_index(drop=True)


def point_at(points: pd.DataFrame, index: int) -> dict[str, Any]:
    """One of ``sweep_points``, key -> value; whole numbers stay whole beside others."""
    return {str(key): points[key].iloc[[index]].tolist()[0] for key in points}


def norm_codes(frame: pd.DataFrame, norms: Sequence[str]) -> Codes:
    """Each row's position in ``norms``; -1 for a norm that is not asked for."""
    if len(set(norms)) != len(norms):
        raise ValueError(f"norms are named twice: {list(norms)}")
    return pd.Index(list(norms), dtype=object).get_indexer(pd.Index(frame["norm"])).astype(np.int64)


AT_CHANCE = 0.03
"""A final validation accuracy up to so much above chance is that of a run that did not learn."""


def failed_to_learn(outcome: pd.DataFrame) -> NDArray[np.bool_]:
    """Which runs diverged or ended at chance; none where the outcomes do not tell."""
    if not {"state", "num_classes", "val_accuracy"} <= set(outcome.columns):
        return np.zeros(len(outcome), dtype=bool)
    chance = 1.0 / outcome["num_classes"].astype(float)
    lost = (outcome["state"] == "diverged") | (outcome["val_accuracy"] <= chance + AT_CHANCE)
    return lost.to_numpy(dtype=bool)


def _factorize(column: pd.Series) -> tuple[Codes, int]:
    """Codes in sorted order of the values, and how many there are."""
    try:
        codes, values = pd.factorize(column, sort=True, use_na_sentinel=False)
    except TypeError:  # lists, or values without an order among them
        codes, values = pd.factorize(column.map(repr), sort=True, use_na_sentinel=False)
    return codes.astype(np.int64), len(values)
