"""How far a plan has come, and how long the rest will take."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from normbench.plan import PlannedRun
from normbench.training import events

MOST_PLAYED = 2000  # of more runs than this, the last ones matter little


@dataclass
class _Running:
    kind: Hashable
    started: float
    first_step: int
    step: int
    steps: int


class Pace:
    """Follows events and estimates the seconds left.

    Runs of one norm at one sweep point take about the same time a step; a kind not seen yet is
    taken to be as fast as the mean of those seen. ``clock`` gives seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._waiting: dict[str, tuple[Hashable, int]] = {}  # run -> kind, steps
        self._running: dict[str, _Running] = {}
        self._spent: dict[Hashable, list[float]] = {}  # kind -> [seconds, steps] of ended runs
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

    def happened(self, run: PlannedRun, event: events.Event) -> None:
        """Take note of an event."""
        now, key = self._clock(), run.folder
        if isinstance(event, events.Started):
            kind, _ = self._waiting.pop(key, (_kind(run), 0))
            self._running[key] = _Running(kind, now, event.step, event.step, event.steps)
            self._most = max(self._most, len(self._running))
        elif isinstance(event, events.Finished | events.Failed | events.Stopped):
            self._waiting.pop(key, None)
            running = self._running.pop(key, None)
            self.ended += 1
            if running and isinstance(event, events.Finished) and event.step > running.first_step:
                spent = self._spent.setdefault(running.kind, [0.0, 0.0])
                spent[0] += now - running.started
                spent[1] += event.step - running.first_step
        elif isinstance(event, events.Evaluated | events.Progress) and key in self._running:
            self._running[key].step = event.step

    @property
    def share(self) -> float:
        """The part of the planned steps that is done or no longer needed, 0 to 1."""
        left = sum(steps for _, steps in self._waiting.values())
        left += sum(run.steps - run.step for run in self._running.values())
        return 1 - left / self._all_steps if self.runs else 1.0

    def seconds_left(self) -> float | None:
        """Until the last run ends, or None while nothing has been measured."""
        rates = self._rates()
        if not rates:
            return None
        mean = sum(rates.values()) / len(rates)
        busy = [(r.steps - r.step) * rates.get(r.kind, mean) for r in self._running.values()]
        busy += [0.0] * (self._most - len(busy))
        waiting = [steps * rates.get(kind, mean) for kind, steps in self._waiting.values()]
        if len(waiting) > MOST_PLAYED:
            return (sum(busy) + sum(waiting)) / len(busy)
        # Play the rest out: the next run goes to whoever is free first.
        heapq.heapify(busy)
        for work in waiting:
            heapq.heapreplace(busy, busy[0] + work)
        return max(busy)

    def _rates(self) -> dict[Hashable, float]:
        """Wall seconds a step by kind, evaluation and probes included."""
        now = self._clock()
        totals = {kind: list(spent) for kind, spent in self._spent.items()}
        for running in self._running.values():
            if running.step > running.first_step:
                total = totals.setdefault(running.kind, [0.0, 0.0])
                total[0] += now - running.started
                total[1] += running.step - running.first_step
        return {kind: spent / steps for kind, (spent, steps) in totals.items() if steps}


def _kind(run: PlannedRun) -> Hashable:
    values = {**run.point, **(run.tuned or {})}
    return (run.norm, *((key, str(value)) for key, value in values.items()))
