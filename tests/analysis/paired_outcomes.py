"""Outcomes of runs that pair by seed, made up; ``from paired_outcomes import ...``."""

from __future__ import annotations

import numpy as np
import pandas as pd

from normbench.analysis.comparison import compare
from normbench.analysis.rule import VerdictRule

BUDGET = 1000.0
STEPS = VerdictRule("steps_to_target", 0.10)


def outcome_table(
    steps: dict[str, list[float]], accuracy: dict[str, list[float]] | None = None, **keys: float
) -> pd.DataFrame:
    """Outcomes of {norm: steps to target by seed}; None stands for a failed run."""
    rows = []
    for norm, times in steps.items():
        for seed, time in enumerate(times):
            failed = time is None
            value = (accuracy or {}).get(norm, [0.5] * len(times))[seed]
            rows.append(
                {
                    "norm": norm,
                    "seed": seed,
                    "target": 0.9,
                    "reached": not failed and np.isfinite(time),
                    "censored": not failed and np.isinf(time),
                    "steps_to_target": np.nan if failed else time,
                    "restricted_steps": np.nan if failed else min(time, BUDGET),
                    "auc": np.nan if failed else value,
                    "val_accuracy": np.nan if failed else value,
                    "test_accuracy": np.nan,
                    **keys,
                }
            )
    return pd.DataFrame(rows)


def row(table: pd.DataFrame, metric: str = "steps_to_target", **where: object) -> pd.Series:
    chosen = table[table["metric"] == metric]
    for name, value in where.items():
        chosen = chosen[chosen[name] == value]
    assert len(chosen) == 1
    return chosen.iloc[0]


def by_steps(outcome: pd.DataFrame, norms: list[str], baseline: str, **options) -> pd.DataFrame:
    """The comparison with steps to target as the metric that judges."""
    keys = options.pop("keys", [])
    return compare(outcome, norms, baseline, keys, rule=STEPS, **options)
