"""One experiment of normbench in a process of its own, timed from its first run to its last.

python -m benchmarks.ours CONFIG JOBS DATA KEY=VALUE... prints {"seconds_per_run": ...,
"test_accuracy": [...]}. Start-up, which a whole experiment pays once, is not in it; evaluation,
probes and the writing of results are.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Sequence

import normbench
from normbench.execution.driver import NullObserver
from normbench.plan import PlannedRun
from normbench.training import events


class Stopwatch(NullObserver):
    """Notes when the first run begins and the last one ends."""

    def __init__(self) -> None:
        self.began = self.ended = 0.0
        self.runs = 0

    def planned(self, runs: Sequence[PlannedRun], steps: Sequence[int], skipped: int) -> None:
        self.runs = len(runs)

    def on_event(self, run: PlannedRun, event: events.Event) -> None:
        if isinstance(event, events.Started) and not self.began:
            self.began = time.perf_counter()
        self.ended = time.perf_counter()


def main() -> None:
    config, jobs, data, *overrides = sys.argv[1:]
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as results:
        found = normbench.train(
            config,
            overrides=overrides,
            results=results,
            data_dir=data or None,
            jobs=int(jobs),
            watch=watch,
        )
        accuracy = found.results.runs["test_accuracy"].tolist()
    seconds = (watch.ended - watch.began) / watch.runs
    print(json.dumps({"seconds_per_run": seconds, "test_accuracy": accuracy}))


if __name__ == "__main__":
    main()
