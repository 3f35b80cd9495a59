"""The same statistics for numbers that others made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class ScoreComparison:
    """What ``compare_scores`` gives back.

    best_set: see ``best_set.best_set``; comparisons: see ``comparison.compare``, empty without a
    baseline. ``str()`` of it is a short summary.
    """

    best_set: pd.DataFrame
    comparisons: pd.DataFrame


def compare_scores(
    scores: Mapping[str, Sequence[float]],
    *,
    higher_is_better: bool = True,
    similar_within: float | None = None,
    baseline: str | None = None,
    alpha: float = 0.05,
) -> ScoreComparison:
    """Which of several methods may be best, from scores that pair by position (one a seed)."""
    raise NotImplementedError
