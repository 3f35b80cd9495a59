"""How much the paired difference of two norms varies over seeds: what power is reckoned from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

FEWEST_PAIRS = 3
"""Of two differences the sd is hardly known at all."""


def paired_sd(
    outcome: pd.DataFrame, norms: Sequence[str], baseline: str, keys: Sequence[str], metric: str
) -> pd.DataFrame:
    """sd over seeds of norm minus baseline, a row a sweep point and norm but the baseline.

    outcome: rows of ``convergence.outcomes`` for one target. Columns norm, <keys>, pairs (with a
    finite difference: in steps, of two runs that both reached the target) and sd in the metric's
    unit; NaN below ``FEWEST_PAIRS``.
    """
    columns = ["norm", *keys, "pairs", "sd"]
    on = [*keys, "seed"]
    reference = outcome.loc[outcome["norm"] == baseline, [*on, metric]]
    both = outcome[[*on, "norm", metric]].merge(reference, on=on, suffixes=("", "_baseline"))
    with np.errstate(invalid="ignore"):
        both["difference"] = both[metric] - both[f"{metric}_baseline"]
    both = both[np.isfinite(both["difference"].to_numpy(dtype=float))]
    rows = []
    for group, part in both.groupby(["norm", *keys], sort=False, dropna=False):
        if group[0] in norms and group[0] != baseline:
            enough = len(part) >= FEWEST_PAIRS
            sd = float(part["difference"].std(ddof=1)) if enough else np.nan
            rows.append([*group, len(part), sd])
    return pd.DataFrame(rows, columns=columns)
