"""The time told before training begins."""

from __future__ import annotations

import math

import pytest
import torch
from tiny import experiment

from normbench.execution import estimate
from normbench.execution.estimate import forecast
from normbench.plan import expand


def test_it_is_the_mean_of_the_first_and_the_last_over_the_jobs(digits, monkeypatch):
    steps = iter([0.01, 0.03])
    monkeypatch.setattr(estimate, "_time", lambda run, limit: (next(steps), 0.5))
    plan = expand(experiment("seeds=4"))
    # Twelve updates; evaluated at steps 0, 5, 10 and 12 and on the test set.
    one = 12 * 0.02 + 0.5 * 5
    assert forecast(plan, digits, 2) == pytest.approx(one * 8 / 2)


def test_it_is_timed_and_leaves_the_threads_alone(digits):
    before = torch.get_num_threads()
    found = forecast(expand(experiment()), digits, 2)
    assert 0 < found < 60
    assert torch.get_num_threads() == before


def test_a_run_that_crashes_is_not_timed(digits, monkeypatch):
    def broken(self, tap=None):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr("normbench.execution.estimate.Run.update", broken)
    assert math.isnan(forecast(expand(experiment()), digits, 2))
