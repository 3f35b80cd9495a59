"""Which norms may be best: the model confidence set, and each norm's difference to the leader."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from normbench.analysis.rule import VerdictRule
from normbench.analysis.sequential import Looks


def best_set(
    outcome: pd.DataFrame,
    norms: Sequence[str],
    keys: Sequence[str],
    *,
    rule: VerdictRule,
    looks: Looks | None = None,
    order: Sequence[int] | None = None,
    alpha: float = 0.05,
) -> pd.DataFrame:
    """A row a sweep point and norm, leader first."""
    raise NotImplementedError
