"""Runs an hour of a plain script and of normbench: alone, in stacks, compiled, in bf16."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import stdev
from typing import Any

import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.gpu_parts import plain
from benchmarks.gpu_parts.tasks import Made, Task, made, run_config
from normbench.models.assemble import assemble
from normbench.training import events
from normbench.training.loop import train_together

STACKS = (1, 8, 32, 128)
LIMIT = 20.0
"""Seconds after which a measurement is cut off."""

ALIKE = 0.01
"""Mean accuracies that differ by less than this are told as equal whatever the seeds' spread."""


@dataclass(frozen=True)
class Setting:
    """A way to train; stack 0 is the plain script."""

    stack: int
    precision: str = "fp32"
    compiled: bool = False

    @property
    def name(self) -> str:
        """As the table has it."""
        who = "plain script" if not self.stack else f"stack {self.stack}"
        how = ", compiled" if self.compiled else ""
        return f"{who}{how}, {self.precision}"


@dataclass
class Row:
    """What one setting of one task took. NaN where it was not measured, for ``reason``.

    seconds: of training and evaluating ``runs`` runs, from fewer steps where that took longer than
    ``LIMIT`` (cut_off; then there are no accuracies); setup_seconds: of what comes before,
    compiling among it; share_of_peak: of the rate that matrix products reach here in this
    precision, over the time of training alone, which of the plain script is not known;
    test_accuracy: a run each.
    """

    task: str
    setting: str
    runs: int = 0
    seconds: float = math.nan
    setup_seconds: float = math.nan
    runs_per_hour: float = math.nan
    times_plain: float = math.nan
    share_of_peak: float = math.nan
    test_accuracy: list[float] = field(default_factory=list)
    accuracy_is_alike: bool | None = None
    cut_off: bool = False
    reason: str = ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: null for what was not measured."""
        values = asdict(self)
        return {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in values.items()}


def settings(stacks: Sequence[int] = STACKS, *, compiled: bool) -> list[Setting]:
    """In the order in which they are worth the time."""
    middle = stacks[len(stacks) // 2]
    found = [Setting(0), *(Setting(stack) for stack in stacks)]
    found += [Setting(0, "bf16"), Setting(1, "bf16"), Setting(middle, "bf16")]
    if compiled:
        found += [Setting(1, compiled=True), Setting(middle, compiled=True)]
        found.append(Setting(middle, "bf16", compiled=True))
    return found


def measure(
    tasks: Sequence[Task],
    device: str,
    ways: Sequence[Setting],
    left: Callable[[], float],
    peaks: dict[str, float],
) -> Iterator[Row]:
    """A row for every setting of every task, settings outermost: what time cuts off is the least
    of each. left: seconds until nothing new is begun. peaks: of each precision, in FLOP/s."""
    data = {task.name: made(task) for task in tasks}
    flops = {task.name: flops_of_a_step(task, data[task.name]) for task in tasks}
    base: dict[tuple[str, str], Row] = {}
    for way in ways:
        for task in tasks:
            row = Row(task.name, way.name)
            if left() <= 0:
                row.reason = "out of time"
                yield row
                continue
            try:
                train = _plain if not way.stack else _ours
                work = train(row, task, data[task.name], way, device)
            except (RuntimeError, MemoryError, ImportError) as error:  # out of memory is one
                row.reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"[:160]
                if device != "cpu":
                    torch.cuda.empty_cache()
                yield row
                continue
            row.runs_per_hour = 3600 * row.runs / row.seconds
            if work > 0:
                row.share_of_peak = (
                    row.runs * task.steps * flops[task.name] / work / peaks[way.precision]
                )
            if not way.stack:
                base[task.name, way.precision] = row
            elif (other := base.get((task.name, way.precision))) is not None:
                row.times_plain = row.runs_per_hour / other.runs_per_hour
                row.accuracy_is_alike = alike(row.test_accuracy, other.test_accuracy)
            yield row


def _plain(row: Row, task: Task, data: Made, way: Setting, device: str) -> float:
    start = time.perf_counter()
    row.seconds, accuracy = plain.train(task, data, 0, device, way.precision, LIMIT)
    row.runs, row.cut_off = 1, accuracy is None
    if accuracy is not None:
        row.setup_seconds = time.perf_counter() - start - row.seconds
        row.test_accuracy = [accuracy]
    return 0.0


def _ours(row: Row, task: Task, data: Made, way: Setting, device: str) -> float:
    """Seconds of training alone."""
    configs = [
        run_config(
            task,
            seed=seed,
            device=device,
            stack=way.stack,
            compile=way.compiled,
            precision=way.precision,
        )
        for seed in range(way.stack)
    ]
    start = began = time.perf_counter()
    begun = False
    trained, done, asked = 0.0, task.steps, 0

    def out_of_time() -> bool:
        nonlocal asked
        asked += 1  # before every step; one is made in any case
        return asked > 1 and time.perf_counter() - began > LIMIT

    lanes = [None] * way.stack
    told = train_together(configs, data, resume=lanes, should_stop=out_of_time)  # type: ignore[arg-type]
    for _, event in told:
        if isinstance(event, events.Started) and not begun:
            begun, began = True, time.perf_counter()
        elif isinstance(event, events.Tested):
            row.test_accuracy.append(event.test_accuracy)
        elif isinstance(event, events.Finished):
            trained += event.train_seconds + event.probe_seconds
            row.runs += 1
        elif isinstance(event, events.Stopped):
            done, row.cut_off = event.step, True
            row.runs += 1
    row.seconds = (time.perf_counter() - began) * task.steps / done
    row.setup_seconds = began - start
    if row.cut_off:
        return row.seconds
    if len(row.test_accuracy) < row.runs:
        raise RuntimeError(f"{row.runs - len(row.test_accuracy)} of {row.runs} runs diverged")
    return trained


def alike(ours: Sequence[float], plain: Sequence[float]) -> bool | None:
    """Whether the plain script's accuracy lies among those of our seeds, three standard deviations
    around their mean; None where there are fewer than four of ours, or none of the script's."""
    if len(ours) < 4 or not plain:
        return None
    return abs(_mean(ours) - _mean(plain)) <= max(ALIKE, 3 * stdev(ours))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


# --- what the device can do ---


def flops_of_a_step(task: Task, data: Made) -> float:
    """Floating point operations of the products of a step, forward and backward, of one run."""
    config = run_config(task)
    shape = data.image_shape
    net = assemble(
        config.model.blueprint(), config.norm.method(None), shape, data.num_classes, 0
    ).module
    height, width, channels = shape
    x = torch.zeros(2, channels, height, width)
    x = x.flatten(1) if task.kind == "mlp" else x
    with FlopCounterMode(display=False) as counter:
        F.cross_entropy(net(x), torch.zeros(2, dtype=torch.int64)).backward()
    return counter.get_total_flops() * task.batch_size / 2


def peak(device: str, precision: str, size: int) -> float:
    """FLOP/s of a product of two square matrices, the best of five."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    a = torch.randn(size, size, dtype=dtype, device=device)
    best = math.inf
    for _ in range(5):
        _wait(device)
        start = time.perf_counter()
        a @ a
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
