"""Runs an hour, against what a user would write instead: ratios within one run of this script.

    python -m benchmarks.throughput --mnist DIR --cifar DIR [mlp cnn experiment workers]

mlp, cnn: seconds a run of a long experiment (start-up apart on both sides) against the plain script
and Lightning. experiment: 4 norms x 8 seeds x 2 epochs as a whole, start-up included on both
sides, the cache of prepared data empty; the plain script trains a quarter of the seeds, and its
time counts four times. workers: one worker against as many as there are cores.

All contestants train the same network on the same images for as many steps, validate once an epoch
and test once; normbench also probes at its default schedule. They take turns, and the accuracies
must agree before any ratio is printed. DIR of --mnist holds MNIST/raw, that of --cifar an image
folder with train/ and test/.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import mean, median
from typing import Any

from scipy import stats

from benchmarks.common import write_result

HERE = Path(__file__).parent
CORES = len(os.sched_getaffinity(0))
NORMS = ("none", "batch", "layer", "rms")
SEEDS = 4  # of normbench, a turn
BF16 = "training.precision=bf16"

Outcome = tuple[float, list[float]]  # seconds a run, test accuracies


def lines(*command: str, threads: int | None = None, **environment: str) -> list[dict[str, Any]]:
    """What a python module prints, a JSON object a line. threads: None leaves them to torch."""
    env = {**os.environ, **environment}
    env.pop("OMP_NUM_THREADS", None)
    if threads is not None:
        env["OMP_NUM_THREADS"] = str(threads)
    done = subprocess.run(
        [sys.executable, "-m", *command], env=env, stdout=subprocess.PIPE, text=True, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def reference(module: str, **task: Any) -> Callable[[int], Outcome]:
    """A turn of a reference: one run, with the seed of the turn."""

    def turn(seed: int) -> Outcome:
        found = lines(f"benchmarks.references.{module}", json.dumps([{**task, "seed": seed}]))
        return mean(r["seconds"] for r in found), [r["test_accuracy"] for r in found]

    return turn


def ours(config: str, data: str, *overrides: str, jobs: int = CORES) -> Callable[[int], Outcome]:
    """A turn of normbench: an experiment of a few seeds, others every turn."""

    def turn(number: int) -> Outcome:
        seeds = [*range(number * SEEDS, (number + 1) * SEEDS)]
        changes = (f"seeds={seeds}", *overrides)
        [found] = lines("benchmarks.ours", str(HERE / config), str(jobs), data, *changes, threads=1)
        return found["seconds_per_run"], found["test_accuracy"]

    return turn


def take_turns(contestants: dict[str, Callable[[int], Outcome]], repeats: int) -> dict[str, Any]:
    """Seconds a run and accuracies of each, the contestants alternating."""
    found: dict[str, list[Outcome]] = {name: [] for name in contestants}
    for turn in range(repeats):
        for name, contestant in contestants.items():
            found[name].append(contestant(turn))
            print(f"  {name}: {found[name][-1][0]:.2f} s a run", file=sys.stderr)
    return {
        name: {
            "seconds_per_run": [seconds for seconds, _ in outcomes],
            "test_accuracy": [a for _, accuracies in outcomes for a in accuracies],
        }
        for name, outcomes in found.items()
    }


def check_accuracy(found: dict[str, Any]) -> None:
    """Everyone learned as much as the plain script: Welch's t-test, or within half a point."""
    plain = found["plain script"]["test_accuracy"]
    for name, values in found.items():
        other = values["test_accuracy"]
        difference = mean(other) - mean(plain)
        p = stats.ttest_ind(other, plain, equal_var=False).pvalue if len(plain) > 1 else 0.0
        values["accuracy_difference"] = difference
        if abs(difference) > 0.005 and not p > 0.01:
            raise SystemExit(f"{name} learned something else: {mean(other):.4f}, p = {p:.3g}")


def ratios(found: dict[str, Any], against: str) -> dict[str, float]:
    """Median seconds of ``against`` over those of each of ours."""
    base = median(found[against]["seconds_per_run"])
    return {
        name: base / median(values["seconds_per_run"])
        for name, values in found.items()
        if name.startswith("normbench")
    }


def report(title: str, found: dict[str, Any], *against: str) -> dict[str, Any]:
    """Print one comparison; what is kept of it."""
    print(title)
    for name, values in found.items():
        accuracy = values["test_accuracy"]
        print(
            f"  {name:<22} {median(values['seconds_per_run']):8.2f} s a run   "
            f"test accuracy {mean(accuracy):.4f} ({len(accuracy)} runs)"
        )
    speed = {name: ratios(found, name) for name in against if name in found}
    for name, values in speed.items():
        for ours_, ratio in values.items():
            print(f"  {ours_} against {name}: {ratio:.2f} times")
    return {"measured": found, "times_faster_than": speed}


def mlp(mnist: str, repeats: int) -> dict[str, Any]:
    task = {"kind": "mlp", "root": mnist}
    contestants = {
        "plain script": reference("plain", **task),
        "Lightning": reference("with_lightning", **task),
        "normbench": ours("mnist-mlp.yaml", mnist),
        "normbench bf16": ours("mnist-mlp.yaml", mnist, BF16),
    }
    if importlib.util.find_spec("lightning") is None:
        print("  Lightning is not installed: benchmarks/requirements.txt", file=sys.stderr)
        del contestants["Lightning"]
    found = take_turns(contestants, repeats)
    check_accuracy(found)
    return report("MLP on MNIST", found, "plain script", "Lightning")


def cnn(cifar: str, repeats: int, images: int = 6000) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        part = take_images(Path(cifar), Path(folder), images)
        task = {"kind": "cnn", "root": str(part), "depth": 9, "width": 32, "epochs": 2}
        data = f"data.path={part}"
        contestants = {
            "plain script": reference("plain", validation=500, **task),
            "normbench": ours("cifar-cnn.yaml", "", data),
            "normbench bf16": ours("cifar-cnn.yaml", "", data, BF16),
        }
        found = take_turns(contestants, repeats)
    check_accuracy(found)
    return report(f"CNN on {images} images of the CIFAR-10 JPEG copy", found, "plain script")


def take_images(source: Path, folder: Path, images: int) -> Path:
    """Links to the first images of each class: ``images`` to train on, a sixth of that to test."""
    for part, most in (("train", images), ("test", images // 6)):
        classes = sorted(path for path in (source / part).iterdir() if path.is_dir())
        for group in classes:
            place = folder / part / group.name
            place.mkdir(parents=True)
            for image in sorted(group.iterdir())[: most // len(classes)]:
                (place / image.name).symlink_to(image)
    return folder


def experiment(
    mnist: str, repeats: int, seeds: int = 8, epochs: int = 2, share: int = 4
) -> dict[str, Any]:
    runs = [
        {"kind": "mlp", "root": mnist, "norm": norm, "seed": seed, "epochs": epochs}
        for seed in range(seeds // share)
        for norm in NORMS
    ]

    def plain(turn: int) -> Outcome:
        started = time.perf_counter()
        found = lines("benchmarks.references.plain", json.dumps(runs))
        return share * (time.perf_counter() - started), [r["test_accuracy"] for r in found]

    def whole(*overrides: str) -> Callable[[int], Outcome]:
        def turn(seed: int) -> Outcome:
            with tempfile.TemporaryDirectory() as folder:
                options = [f"norms=[{', '.join(NORMS)}]", f"seeds={seeds}", *overrides]
                options += [f"training.epochs={epochs}"]
                command = ["normbench", "train", str(HERE / "mnist-mlp.yaml"), "--json"]
                command += [word for option in options for word in ("--set", option)]
                command += ["--results", f"{folder}/results", "--data-dir", mnist, "-q"]
                started = time.perf_counter()
                lines(*command, NORMBENCH_CACHE_DIR=f"{folder}/cache")
                seconds = time.perf_counter() - started
                import normbench

                runs = normbench.compare("benchmark-mlp", results=f"{folder}/results").results.runs
            return seconds, runs["test_accuracy"].tolist()

        return turn

    contestants = {
        "plain script": plain,
        "normbench": whole(),
        "normbench bf16": whole(BF16),
    }
    found = take_turns(contestants, repeats)
    check_accuracy(found)
    return report(f"{len(NORMS)} norms x {seeds} seeds x {epochs} epochs", found, "plain script")


def workers(mnist: str, repeats: int) -> dict[str, Any]:
    contestants = {
        f"{jobs} worker{'s' * (jobs > 1)}": ours("mnist-mlp.yaml", mnist, jobs=jobs)
        for jobs in (1, CORES)
    }
    found = take_turns(contestants, repeats)
    one, all_ = (median(values["seconds_per_run"]) for values in found.values())
    print(f"{CORES} workers against 1: {one / all_:.2f} times")
    return {"measured": found, "times_faster": one / all_}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("parts", nargs="*", default=["mlp", "cnn", "experiment", "workers"])
    parser.add_argument("--mnist", default="data")
    parser.add_argument("--cifar", default="cifar10")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    parts = {"mlp": mlp, "cnn": cnn, "experiment": experiment, "workers": workers}
    for name in options.parts:
        root = options.cifar if name == "cnn" else options.mnist
        path = write_result(f"throughput-{name}", parts[name](root, options.repeats))
        print(f"  {path}")


if __name__ == "__main__":
    main()
