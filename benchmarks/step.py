"""Inside one training step, on one core: how much of it is matrix products, and what probes cost.

    python -m benchmarks.step [--mnist DIR] [rate probes]

rate: the floating point operations of the MLP's matrix products a second of training, over the rate
that the same process reaches in bare matrix products: large square ones, and ones of the very
shapes of the network, which no implementation can exceed. Training and products take turns.

probes: whole runs with probes at their default schedule against runs without; the same with hooks
as one writes them first (norms, a mean and a standard deviation a layer and step, each fetched with
``.item()``); and, where it is installed, Cockpit's economy preset (without a norm layer: Cockpit's
backend differentiates per example, which batch norm does not allow).
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor

from benchmarks.common import write_result
from normbench.api import load_config, prepare_data
from normbench.config import RunConfig
from normbench.data import Dataset
from normbench.execution.processes import allocator
from normbench.plan import expand
from normbench.training import events
from normbench.training.loop import train
from normbench.training.run import Run

CONFIG = Path(__file__).parent / "mnist-mlp.yaml"
ROUNDS, STEPS = 9, 60
EPOCHS = 5


def run_config(*overrides: str, norm: str = "batch") -> RunConfig:
    experiment = load_config(
        CONFIG, overrides=[f"norms=[{norm}]", f"baseline={norm}", "seeds=1", *overrides]
    )
    return expand(experiment)[0].config


def seconds(work: Callable[[], Any], times: int) -> float:
    """Of one call, on this thread alone: what other processes do does not count."""
    start = time.thread_time()
    for _ in range(times):
        work()
    return (time.thread_time() - start) / times


def started(config: RunConfig, dataset: Dataset) -> Run:
    run = Run(config, dataset)
    run.network.train()
    run.start_epoch()
    return run


def update(run: Run) -> None:
    """One step, starting the same epoch over at its end."""
    if run.step == run.per_epoch:
        run.step = 0
    run.first_loss_step = run.step
    run.update()


# -- rate -----------------------------------------------------------------------------------------


def products(config: RunConfig, run: Run) -> list[tuple[int, int, int]]:
    """(m, k, n) of every matrix product of a step: forward, dL/dW, and dL/dx but for the images."""
    batch = config.data.batch_size
    shapes = []
    for layer, linear in enumerate([*run.assembled.products(), run.network.head]):
        out, into = linear.weight.shape
        shapes += [(batch, into, out), (out, batch, into)]
        if layer:
            shapes.append((batch, out, into))
    return shapes


def operations(shapes: list[tuple[int, int, int]]) -> int:
    return sum(2 * m * k * n for m, k, n in shapes)


def rate(dataset: Dataset) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for precision in ("fp32", "bf16"):
        config = run_config(f"training.precision={precision}")
        run = started(config, dataset)
        shapes = products(config, run)
        dtype = torch.float32 if precision == "fp32" else torch.bfloat16
        large = [torch.randn(2048, 2048, dtype=dtype) for _ in range(2)]
        pairs = [
            (torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)) for m, k, n in shapes
        ]

        def every_product(pairs: list[tuple[Tensor, Tensor]] = pairs) -> None:
            for a, b in pairs:
                torch.mm(a, b)

        readings: dict[str, list[float]] = {"step": [], "same_shapes": [], "large": []}
        for _ in range(3):  # warm
            update(run)
            every_product()
        for _ in range(ROUNDS):
            readings["step"].append(seconds(lambda run=run: update(run), STEPS))
            readings["same_shapes"].append(seconds(every_product, STEPS))
            readings["large"].append(seconds(lambda large=large: torch.mm(*large), 2))
        work = operations(shapes)
        gflops = {
            "step": work / median(readings["step"]) / 1e9,
            "same_shapes": work / median(readings["same_shapes"]) / 1e9,
            "large": 2 * 2048**3 / median(readings["large"]) / 1e9,
        }
        found[precision] = {
            "step_ms": median(readings["step"]) * 1e3,
            "gigaflop_a_step": work / 1e9,
            "gflop_per_second": gflops,
            "of_same_shapes": gflops["step"] / gflops["same_shapes"],
            "of_large": gflops["step"] / gflops["large"],
        }
        print(
            f"{precision}: {gflops['step']:.0f} GFLOP/s in training; in bare products of the same "
            f"shapes {gflops['same_shapes']:.0f} ({found[precision]['of_same_shapes']:.0%}), "
            f"in large ones {gflops['large']:.0f} ({found[precision]['of_large']:.0%})"
        )
    return found


# -- probes ---------------------------------------------------------------------------------------


def whole(config: RunConfig, dataset: Dataset) -> events.Finished:
    *_, last = train(config, dataset)
    assert isinstance(last, events.Finished)
    return last


def naive(run: Run) -> Callable[[], None]:
    """A step with hooks as one writes them first."""
    seen: dict[str, list[float]] = {}

    def hook(name: str) -> Callable[..., None]:
        def look(module: Any, args: Any, output: Tensor) -> None:
            values = seen.setdefault(name, [])
            values += [output.mean().item(), output.std().item()]
            output.register_hook(lambda g: values.append(g.norm().item()))

        return look

    for index, block in enumerate(run.network.blocks):
        block.linear.register_forward_hook(hook(f"linear{index}"))
        block.activation.register_forward_hook(hook(f"activation{index}"))

    def step() -> None:
        seen.clear()
        update(run)
        for index, block in enumerate(run.network.blocks):
            seen[f"weight{index}"] = [block.linear.weight.grad.norm().item()]

    return step


def probes(dataset: Dataset) -> dict[str, Any]:
    shares = []
    budget = f"training={{epochs: {EPOCHS}, evaluate_every: 429}}"
    with_, without = (run_config(budget, f"probes.steps={when}") for when in ("log", "none"))
    whole(without, dataset)  # warm
    times: dict[str, list[float]] = {"probes": [], "none": []}
    for _ in range(3):
        for name, config in (("probes", with_), ("none", without)):
            start = time.thread_time()
            last = whole(config, dataset)
            times[name].append(time.thread_time() - start)
            if name == "probes":
                shares.append(last.probe_seconds / last.train_seconds)
    plain, hooked = started(without, dataset), started(without, dataset)
    hooked_step = naive(hooked)
    steps: dict[str, list[float]] = {"plain": [], "naive": []}
    for _ in range(ROUNDS):
        steps["plain"].append(seconds(lambda: update(plain), STEPS))
        steps["naive"].append(seconds(hooked_step, STEPS))
    found: dict[str, Any] = {
        "epochs": EPOCHS,
        "probe_share_of_training": median(shares),
        "run_with_over_without": median(times["probes"]) / median(times["none"]),
        "naive_hooks_share_of_training": median(steps["naive"]) / median(steps["plain"]) - 1,
    }
    print(
        f"probes, default schedule, {EPOCHS} epochs: {found['probe_share_of_training']:.1%} of the "
        f"training time (whole runs: {found['run_with_over_without'] - 1:+.1%})\n"
        f"naive hooks every step: {found['naive_hooks_share_of_training']:.0%}"
    )
    if importlib.util.find_spec("cockpit") is None:
        print("Cockpit is not installed: benchmarks/requirements-cockpit.txt")
    else:
        from benchmarks.references.with_cockpit import times_as_long

        found["cockpit_times_as_long"] = times_as_long(dataset)
        print(f"Cockpit, economy preset: {found['cockpit_times_as_long']:.1f} times as long a step")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=["rate", "probes"])
    parser.add_argument("--mnist", default="data")
    options = parser.parse_args()
    if missing := {k: v for k, v in allocator().items() if k not in os.environ}:
        # As the workers train; the C library reads it when a process starts.
        os.execve(sys.executable, sys.orig_argv, {**os.environ, **missing})
    torch.set_num_threads(1)
    dataset = prepare_data(load_config(CONFIG), options.mnist)
    for name in options.parts:
        found = {"rate": rate, "probes": probes}[name](dataset)
        print(f"  {write_result(f'step-{name}', found)}")


if __name__ == "__main__":
    main()
