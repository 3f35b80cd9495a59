"""Which accuracies cannot be told from guessing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from normbench.analysis.chance import at_chance


def test_a_twentieth_of_the_way_from_chance_to_perfect_is_nothing_learned():
    found = at_chance([0.05, 0.1, 0.145, 0.146, 0.9], 10)
    assert found.tolist() == [True, True, True, False, False]
    assert at_chance([0.525, 0.526], 2).tolist() == [True, False]


def test_with_few_examples_three_standard_errors_are_allowed():
    edge = 0.1 + 3 * math.sqrt(0.1 * 0.9 / 100)
    assert at_chance([edge - 1e-9, edge + 1e-3], 10, 100).tolist() == [True, False]
    assert not at_chance(0.15, 10, 10_000)


def test_a_missing_accuracy_is_not_at_chance():
    assert not at_chance([math.nan], 10)[0]


def test_guessing_is_called_guessing_and_a_trained_network_is_not():
    draw = np.random.default_rng(0)
    guesses = draw.binomial(300, 0.1, size=4000) / 300
    assert at_chance(guesses, 10, 300).mean() > 0.995
    assert not at_chance(draw.binomial(300, 0.25, size=4000) / 300, 10, 300).mean() > 0.01


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_rule_is_above_chance_for_any_number_of_classes(classes):
    assert at_chance(1 / classes, classes)
    assert not at_chance(1.0, classes, 50)


def test_each_run_by_its_own_number_of_examples():
    assert at_chance([0.15, 0.15, 0.15], 10, [100, 10_000, np.nan]).tolist() == [True, False, False]
