"""The same norm at two values of a sweep key, paired by seed: what a pivot's marks rest on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from normbench.analysis.comparison import compare
from normbench.analysis.groups import sweep_points


def against_value(
    outcome: pd.DataFrame, by: str, reference: Any, keys: Sequence[str], *, metric: str
) -> pd.DataFrame:
    """Each norm at every value of ``by`` against the same norm at ``reference``.

    outcome: rows of ``convergence.outcomes`` for one target. Seeds pair across sweep points, since
    a seed fixes the split, the weights and the data order; Holm is over the values of ``by``
    for each norm and combination of the other ``keys``. Returns the columns of
    ``comparison.compare``, norm first, with ``by`` holding the value in place of the baseline.
    Raises ValueError when ``reference`` is not a value of ``by``.
    """
    values = sweep_points(outcome, [by])[1][by].tolist()
    if reference not in values:
        raise ValueError(f"{reference!r} is not a value of {by}")
    # The values take the part of the norms, and the norms that of a sweep key.
    names = {repr(value): value for value in values}
    others = [key for key in keys if key != by]
    turned = outcome.assign(**{"norm key": outcome["norm"], "norm": outcome[by].map(repr)})
    table = compare(turned, list(names), repr(reference), ["norm key", *others], metrics=[metric])
    table[by] = table["norm"].map(names)
    table["norm"] = table["norm key"]
    return table.drop(columns=["norm key", "baseline"])
