"""What carries a verdict, and the words it is told in. Fixed before the first run is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BETTER, WORSE, SIMILAR = "better", "worse", "similar"
UNDECIDED, TOO_FEW, LEADER = "undecided", "too few seeds", "leader"
"""Verdict words. ``TOO_FEW`` is always followed by " (needs n)"; ``UNDECIDED`` by a reason in
brackets where more seeds alone need not help, as in "undecided (6 of 8 pairs tie)". ``LEADER``
stands in the table of the best set alone."""


MARKS = {LEADER: "★", BETTER: "▲", WORSE: "▼", SIMILAR: "≈", UNDECIDED: "?", TOO_FEW: "·"}
"""Verdict word -> its mark where there is no room for the word."""


def mark(verdict: str) -> str:
    """The mark of a verdict word, with its bracket or without; empty where there is no word."""
    return next((sign for word, sign in MARKS.items() if verdict.startswith(word)), "")


@dataclass(frozen=True)
class Metric:
    """A column of the outcomes to compare.

    ``ranked``: the metric can be infinite (a miss), so it is tested on signed ranks, and its
    difference is the Hodges-Lehmann shift.
    """

    name: str
    higher_is_better: bool = True
    ranked: bool = False


METRICS = {
    metric.name: metric
    for metric in (
        Metric("steps_to_target", higher_is_better=False, ranked=True),
        Metric("auc"),
        Metric("val_accuracy"),
        Metric("test_accuracy"),
        Metric("best_val_accuracy"),
    )
}
DEFAULT_METRICS = ("steps_to_target", "auc", "val_accuracy", "test_accuracy")

MARGINS = {"auc": 0.01, "val_accuracy": 0.01, "test_accuracy": 0.01, "steps_to_target": 0.10}
"""``similar_within`` where the config says nothing; the keys are the metrics that may judge."""


@dataclass(frozen=True)
class VerdictRule:
    """The one metric that carries the verdicts of an experiment, and what counts as similar.

    similar_within: for the area under the curve and the accuracies absolute (0.01 is one
    percentage point); for ``steps_to_target`` a share of the reference's median steps.
    """

    metric: str = "auc"
    similar_within: float = MARGINS["auc"]

    def __post_init__(self) -> None:
        if self.metric not in MARGINS:
            raise ValueError(f"metric must be one of {', '.join(MARGINS)}, got {self.metric!r}")
        if not self.similar_within > 0:
            raise ValueError(f"similar_within must be above 0, got {self.similar_within}")

    @property
    def text(self) -> str:
        """The rule in a sentence: auc (similar within 0.01)."""
        return f"{self.metric} (similar within {self.similar_within:g})"

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> VerdictRule:
        """The rule of a resolved config's ``verdict``; the default rule where there is none.

        A margin that is not given is the metric's own.
        """
        given = given or {}
        metric = given.get("metric") or "auc"
        within = given.get("similar_within")
        return cls(metric, MARGINS.get(metric, 0.01) if within is None else float(within))
