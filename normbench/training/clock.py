"""Clocks that measure training only."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch


@dataclass
class Clock:
    """Seconds by kind of work. The device is synchronized before every reading.

    A probed step trains and measures at once: its time counts as probing, and training is charged
    the mean of the steps that were not probed instead.
    """

    device: torch.device
    seconds: float = 0.0
    steps: int = 0
    evaluate_seconds: float = 0.0
    probed_seconds: float = 0.0
    probed_steps: int = 0

    @property
    def train_seconds(self) -> float:
        """Training alone, over all steps so far."""
        if not self.steps:
            return self.probed_seconds
        return self.seconds * (1 + self.probed_steps / self.steps)

    @property
    def probe_seconds(self) -> float:
        """What the probed steps cost beyond the training in them."""
        if not self.steps:
            return 0.0
        return max(0.0, self.probed_seconds - self.seconds * self.probed_steps / self.steps)

    def now(self) -> float:
        """Seconds on a monotonic clock, once the device has caught up."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Time spent in this context is evaluation."""
        start = self.now()
        yield
        self.evaluate_seconds += self.now() - start

    def readings(self) -> dict[str, float]:
        """What a checkpoint keeps."""
        return {
            "seconds": self.seconds,
            "steps": self.steps,
            "evaluate_seconds": self.evaluate_seconds,
            "probed_seconds": self.probed_seconds,
            "probed_steps": self.probed_steps,
        }
