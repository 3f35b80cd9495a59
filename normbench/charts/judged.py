"""The judged metric as charts show it: its words, its unit and its axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

# A norm more than so many times as far from the leader as the next nearer one would press the
# others together: it is drawn at the edge.
FAR = 6.0


@dataclass(frozen=True)
class Judged:
    """How one metric is shown. factor: from its own unit to the shown one; form: of a difference.

    rate: a share of 1 whose complement is an error, read on a logarithm of the error.
    """

    title: str
    unit: str
    factor: float
    form: str
    value: str
    higher_is_better: bool = True
    rate: bool = True

    def axis(self, values: pd.Series) -> tuple[pd.Series, dict[str, Any], dict[str, Any]]:
        """Values as they are placed, with a scale and an axis on which up is better."""
        if not self.rate:
            axis = {"title": self.title, "format": "~s"}
            return values, {"type": "log", "nice": False, "padding": 12, "reverse": True}, axis
        error = 1 - values
        error = error.clip(lower=floor(error))
        shown = "format(100 * (1 - datum.value), '.4~f') + ' %'"
        label = shown if self.factor == 100 else "format(1 - datum.value, '.4~f')"
        return (
            error,
            {"type": "log", "nice": False, "padding": 12, "reverse": True},
            {"title": self.title, "labelExpr": label, "values": ticks(error)},
        )


JUDGED = {
    "auc": Judged("AUC", "", 1.0, "+.3f", ".3f"),
    "val_accuracy": Judged("validation accuracy", " pp", 100.0, "+.1f", ".1f"),
    "test_accuracy": Judged("test accuracy", " pp", 100.0, "+.1f", ".1f"),
    "steps_to_target": Judged("steps to target", " steps", 1.0, "+.0f", ".0f", False, False),
}


def judged(metric: str) -> Judged:
    """How a metric is shown; one without an entry by its own name, as a plain number."""
    return JUDGED.get(metric, Judged(metric.replace("_", " "), "", 1.0, "+.3g", ".3g", rate=False))


def floor(error: pd.Series) -> float:
    """Where an error of zero is put on a logarithm: at half of the smallest that is none."""
    positive = error[error > 0]
    return float(positive.min()) / 2 if len(positive) else 1e-3


def ticks(values: Any) -> list[float]:
    """1, 2 and 5 times each power of ten, as far as the values reach."""
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known) & (known > 0)]
    if not len(known):
        return []
    low, high = known.min(), known.max()
    powers = range(int(np.floor(np.log10(low))), int(np.ceil(np.log10(high))) + 1)
    every = [float(f"{step * 10.0**power:.6g}") for power in powers for step in (1, 2, 5)]
    inside = [tick for tick in every if low * 0.9 <= tick <= high * 1.1]
    return inside if len(inside) > 1 else sorted({float(f"{v:.2g}") for v in (low, high)})
