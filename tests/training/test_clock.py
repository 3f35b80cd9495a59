"""Clocks measure training only: with a clock that moves when told, and by whom."""

from __future__ import annotations

import pytest
import torch
from tiny import only, run_config

from normbench.data.batches import DeviceData
from normbench.probes import ProbeRecorder
from normbench.training import clock as clock_module
from normbench.training import events
from normbench.training.clock import Clock
from normbench.training.loop import train
from normbench.training.run import Run

UPDATE, PROBE, EVALUATION, ORDER, SAVE, ELSEWHERE = 1.0, 10.0, 100.0, 5000.0, 7000.0, 90000.0
# Four times the validation images and as many for training; at the end the test images, those of
# them of which is kept what came out wrong, and the validation images with recomputed statistics.
EVALUATIONS = 4 * 2 + 3


class Time:
    """Stands for the module ``time``."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def perf_counter(self) -> float:
        return self.seconds


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Time:
    """Every kind of work takes its own time."""
    pretended = Time()
    monkeypatch.setattr(clock_module, "time", pretended)

    def takes(owner: type, name: str, seconds: float) -> None:
        original = getattr(owner, name)

        def longer(self, *args, **kwargs):
            pretended.seconds += seconds
            return original(self, *args, **kwargs)

        monkeypatch.setattr(owner, name, longer)

    takes(Run, "update", UPDATE)
    takes(ProbeRecorder, "after_step", PROBE)
    takes(DeviceData, "eval_batches", EVALUATION)
    takes(Run, "start_epoch", ORDER)
    takes(Run, "checkpoint", SAVE)
    return pretended


def watched(time: Time, generator) -> list[events.Event]:
    """The events, with someone who takes long to write each of them down."""
    found = []
    for event in generator:
        found.append(event)
        time.seconds += ELSEWHERE
    return found


def test_training_seconds_are_those_of_updates_alone(digits, time):
    found = watched(time, train(run_config("probes={steps: none}"), digits))
    assert [e.train_seconds for e in only(found, events.Evaluated)] == [0, 5, 10, 12]
    assert found[-1] == events.Finished(12, 12.0, EVALUATIONS * EVALUATION, 0.0)


def test_a_probed_step_counts_as_an_ordinary_one(digits, time):
    # Steps 0, 5, 10 and 11 are probed; the eight others tell how long a step takes.
    found = watched(time, train(run_config("probes={every: 5}"), digits))
    assert [e.train_seconds for e in only(found, events.Evaluated)] == [0, 5, 10, 12]
    assert found[-1] == events.Finished(12, 12.0, EVALUATIONS * EVALUATION, 4 * PROBE)


def test_without_an_ordinary_step_the_probed_ones_are_all_there_is(digits, time):
    found = watched(time, train(run_config("probes={every: 1}"), digits))
    assert found[-1] == events.Finished(12, 12 * (UPDATE + PROBE), EVALUATIONS * EVALUATION, 0.0)


def test_the_clock_goes_on_where_an_interruption_stopped_it(digits, time):
    config = run_config("probes={every: 5}")
    calls = iter(range(100))
    before = watched(time, train(config, digits, should_stop=lambda: next(calls) == 7))
    assert before[-1] == events.Stopped(7)
    time.seconds = 3.0  # another process, another origin
    after = watched(time, train(config, digits, resume=before[-2].state))
    assert [e.train_seconds for e in only(after, events.Evaluated)] == [10, 12]
    assert after[-1] == events.Finished(12, 12.0, EVALUATIONS * EVALUATION, 4 * PROBE)


def test_a_clock_without_any_step_reads_zero():
    clock = Clock(torch.device("cpu"))
    assert (clock.train_seconds, clock.probe_seconds) == (0.0, 0.0)
    assert Clock(torch.device("cpu"), **clock.readings()) == clock
