"""The marks of a pivot: a norm at two values of a sweep key, and the norms at one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from normbench.analysis.best_set import best_set
from normbench.analysis.comparison import compare
from normbench.analysis.groups import sweep_points
from normbench.analysis.rule import MARGINS, VerdictRule


def _rule(metric: str, similar_within: float | None) -> VerdictRule:
    if metric not in MARGINS:
        raise ValueError(f"no verdict on {metric!r}: choose one of {', '.join(MARGINS)}")
    return VerdictRule(metric, MARGINS[metric] if similar_within is None else similar_within)


def against_value(
    outcome: pd.DataFrame,
    by: str,
    reference: Any,
    keys: Sequence[str],
    *,
    metric: str,
    similar_within: float | None = None,
) -> pd.DataFrame:
    """Each norm at every value of ``by`` against the same norm at ``reference``.

    outcome: rows of ``convergence.outcomes`` for one target. Seeds pair across sweep points, since
    a seed fixes the split, the weights and the data order. Every marked cell is judged by
    ``metric``, and Holm is over all of them: values, norms and the other ``keys``. similar_within:
    the metric's own margin by default. Returns the columns of ``comparison.compare``, norm first,
    with ``by`` holding the value in place of the baseline.

    Raises ValueError when ``reference`` is not a value of ``by``, and for a metric without verdict.
    """
    values = sweep_points(outcome, [by])[1][by].tolist()
    if reference not in values:
        raise ValueError(f"{reference!r} is not a value of {by}")
    # The values take the part of the norms, and the norms that of a sweep key.
    names = {repr(value): value for value in values}
    others = [key for key in keys if key != by]
    turned = outcome.assign(**{"norm key": outcome["norm"], "norm": outcome[by].map(repr)})
    points = ["norm key", *others]
    rule = _rule(metric, similar_within)
    table = compare(turned, list(names), repr(reference), points, rule=rule, metrics=[])
    table[by] = table["norm"].map(names)
    table["norm"] = table["norm key"]
    return table.drop(columns=["norm key", "baseline"])


def against_norms(
    outcome: pd.DataFrame,
    norms: Sequence[str],
    keys: Sequence[str],
    *,
    metric: str,
    similar_within: float | None = None,
) -> pd.DataFrame:
    """Each norm against the others at the same sweep point: the best of each column of a pivot.

    outcome: rows of ``convergence.outcomes`` for one target. Returns ``best_set.best_set``, whose
    alpha is shared over all points.
    """
    return best_set(outcome, norms, keys, rule=_rule(metric, similar_within))
