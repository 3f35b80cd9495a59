"""The rule of a verdict."""

from __future__ import annotations

import pytest

from normbench.analysis.rule import MARGINS, VerdictRule


def test_a_config_without_a_rule_gets_the_area_under_the_curve() -> None:
    assert VerdictRule.of(None) == VerdictRule.of({}) == VerdictRule("auc", 0.01)


def test_a_margin_that_is_not_given_is_the_metrics_own() -> None:
    assert VerdictRule.of({"metric": "steps_to_target"}).similar_within == 0.10
    assert VerdictRule.of({"metric": "auc", "similar_within": 0.02}).similar_within == 0.02
    assert set(MARGINS) == {"auc", "val_accuracy", "test_accuracy", "steps_to_target"}


def test_an_unknown_metric_and_a_margin_of_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="one of auc"):
        VerdictRule("loss")
    with pytest.raises(ValueError, match="above 0"):
        VerdictRule("auc", 0.0)
