"""Rows of tables as plain values for JSON."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from normbench.store.files import finite


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as plain values for JSON."""
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def verdicts(comparisons: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows of comparisons for JSON; an exploratory metric has no verdict."""
    return [{**row, "verdict": row["verdict"] or None} for row in records(comparisons)]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return finite(value)
