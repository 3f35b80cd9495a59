"""How far a plan has come, and how long the rest will take."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass

from normbench.plan import PlannedRun
from normbench.training import events

MOST_PLAYED = 2000  # of more runs than this, the last ones matter little
FIRST_STEPS = 10  # of a run are probed one by one and slower than the rest
NORM_COST = 1.5  # a step with a norm over one without, as long as only the latter was seen
ENOUGH_SHARE, ENOUGH_SECONDS = 0.05, 20.0  # of a run, before anything is said


@dataclass(frozen=True)
class _Kind:
    """Runs that take about the same time a step: one norm at one sweep point."""

    norm: str
    sweep_point: Hashable
    plain: bool  # without any normalization
    layers: int


@dataclass
class _Running:
    kind: _Kind
    steps: int
    first_step: int
    started: float
    settled_step: int  # from here on its steps are measured
    settled: float
    step: int
    heard: float  # when ``step`` had been made

    def measured(self) -> tuple[float, int]:
        """Seconds and steps since its first, slower ones; no steps until those are made."""
        if self.settled_step == self.first_step:
            return 0.0, 0
        return self.heard - self.settled, self.step - self.settled_step

    def has_told(self) -> bool:
        """Whether enough of it was seen to judge by."""
        seconds, steps = self.heard - self.started, self.step - self.first_step
        typical = steps > FIRST_STEPS or self.steps - self.first_step <= FIRST_STEPS
        enough = typical and steps >= ENOUGH_SHARE * self.steps
        return enough or (steps > 0 and seconds >= ENOUGH_SECONDS)

    def left(self, rate: float) -> float:
        """Seconds until it ends, by its own pace once that is known, else by its kind's."""
        seconds, steps = self.measured()
        own = seconds / steps if steps and steps >= ENOUGH_SHARE * self.steps else rate
        return (self.steps - self.step) * own


class Eta:
    """Follows events and estimates the seconds left.

    Runs of one norm at one sweep point take about the same time. One not seen yet is taken to cost
    as much a step and layer as the same norm at other points, else as the other norms. ``clock``
    gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._waiting: dict[str, tuple[_Kind, int]] = {}  # run -> kind, steps
        self._running: dict[str, _Running] = {}
        self._spent: dict[_Kind, tuple[float, float]] = {}  # kind -> seconds, steps of ended runs
        self._most = 1  # runs at a time, as far as has been seen
        self.runs = 0
        self.ended = 0
        self._all_steps = 0

    def plan(self, runs: Sequence[PlannedRun], steps: Sequence[int]) -> None:
        """These runs are yet to be trained, each for so many steps."""
        self.runs, self.ended = len(runs), 0
        self._running.clear()
        self._waiting = {
            run.folder: (_kind(run), budget) for run, budget in zip(runs, steps, strict=True)
        }
        self._all_steps = sum(steps)

    def on_event(self, run: PlannedRun, event: events.Event) -> None:
        """Take note of an event."""
        now, key = self._clock(), run.folder
        if isinstance(event, events.Started):
            kind, _ = self._waiting.pop(key, (_kind(run), 0))
            self._running[key] = _Running(
                kind, event.steps, event.step, now, event.step, now, event.step, now
            )
            self._most = max(self._most, len(self._running))
        elif isinstance(event, events.Finished | events.Failed | events.Stopped):
            self._waiting.pop(key, None)
            running = self._running.pop(key, None)
            self.ended += 1
            if running and isinstance(event, events.Finished) and event.step > running.first_step:
                # The latest weighs most: the first ones warm the machine up, and its load changes.
                # Of the steps it was given: one that diverged early tells that others will too.
                before, steps = self._spent.get(running.kind, (0.0, 0.0))
                made = running.steps - running.first_step
                self._spent[running.kind] = (before / 2 + now - running.started, steps / 2 + made)
        elif isinstance(event, events.Evaluated | events.Progress) and key in self._running:
            running = self._running[key]
            behind = running.first_step + FIRST_STEPS
            if running.step < behind <= event.step < running.steps:
                running.settled_step, running.settled = event.step, now
            running.step, running.heard = event.step, now

    @property
    def share(self) -> float:
        """The part of the planned steps that is done or no longer needed, 0 to 1."""
        left = sum(steps for _, steps in self._waiting.values())
        left += sum(run.steps - run.step for run in self._running.values())
        return 1 - left / self._all_steps if self.runs else 1.0

    def seconds_left(self) -> float | None:
        """Until the last run ends, or None while too little has been measured."""
        rates = self._rates()
        if not rates:
            return None
        now = self._clock()
        busy = [
            max(0.0, r.left(_rate(r.kind, rates)) - (now - r.heard)) for r in self._running.values()
        ]
        busy += [0.0] * (self._most - len(busy))
        waiting = [steps * _rate(kind, rates) for kind, steps in self._waiting.values()]
        if len(waiting) > MOST_PLAYED:
            return (sum(busy) + sum(waiting)) / len(busy)
        # Play the rest out: the next run goes to whoever is free first.
        heapq.heapify(busy)
        for work in waiting:
            heapq.heapreplace(busy, busy[0] + work)
        return max(busy)

    def _rates(self) -> dict[_Kind, float]:
        """Wall seconds a step by kind, evaluation and probes included; empty until it is enough.

        Runs that are within their first steps count only while there are no others.
        """
        settled = {kind: list(spent) for kind, spent in self._spent.items()}
        unsettled: dict[_Kind, list[float]] = {}
        for running in self._running.values():
            seconds, steps = running.measured()
            totals = settled if steps else unsettled
            if not steps:
                seconds, steps = running.heard - running.started, running.step - running.first_step
            total = totals.setdefault(running.kind, [0.0, 0.0])
            total[0] += seconds
            total[1] += steps
        if not self._spent and not any(run.has_told() for run in self._running.values()):
            return {}
        totals = settled or unsettled
        return {kind: spent / steps for kind, (spent, steps) in totals.items() if steps}


def _rate(kind: _Kind, rates: Mapping[_Kind, float]) -> float:
    """Seconds a step of ``kind``, measured or after the kinds that are most like it."""
    if kind in rates:
        return rates[kind]
    like = [seen for seen in rates if seen.norm == kind.norm]
    like = like or [seen for seen in rates if seen.plain == kind.plain] or list(rates)
    rate = kind.layers * sum(rates[seen] / seen.layers for seen in like) / len(like)
    if all(seen.plain != kind.plain for seen in like):
        return rate / NORM_COST if kind.plain else rate * NORM_COST
    return rate


def _kind(run: PlannedRun) -> _Kind:
    values = {**run.sweep_point, **(run.tuned or {})}
    sweep_point = tuple((key, str(value)) for key, value in values.items())
    layers = getattr(run.config.model, "depth", 1)
    return _Kind(run.norm, sweep_point, run.config.norm.kind == "none", layers)
