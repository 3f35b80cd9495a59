"""ResNet-20 with batch norm: do its first epochs here go as in a plain script?

    python -m benchmarks.resnet --cifar DIR [--seeds 2] [--validation 5000]

DIR is an image folder with train/ and test/. Both sides train the same network by the same recipe
(``references/resnet.py``), each with a weight draw, split and batch order of its own, so they agree
as two seeds of one side do and no better. The mean training loss of an epoch averages over its
steps, which makes it the sharper of the figures; accuracy after an epoch at a rate this large moves
by points from seed to seed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import normbench
from benchmarks.common import write_result
from benchmarks.throughput import lines

CONFIG = Path(__file__).parent / "cifar-resnet.yaml"
EPOCHS, BATCH = 2, 128
Figures = dict[str, list[float]]  # figure -> one a seed


def plain(cifar: str, seeds: int, validation: int) -> Figures:
    """The plain script, one seed after the other."""
    runs = []
    for seed in range(seeds):
        task = {"root": cifar, "seed": seed, "epochs": EPOCHS, "validation": validation}
        runs += lines("benchmarks.references.resnet", json.dumps(task))
    return _figures(runs)


def ours(cifar: str, seeds: int, validation: int, jobs: int | None) -> Figures:
    """The same through normbench."""
    images = sum(1 for _ in Path(cifar, "train").glob("*/*"))
    every = (images - validation) // BATCH
    changes = [
        f"data.path={cifar}",
        f"seeds={seeds}",
        f"data.validation={validation}",
        f"training.evaluate_every={every}",
    ]
    with tempfile.TemporaryDirectory() as results:
        found = normbench.train(str(CONFIG), overrides=changes, results=results, jobs=jobs).results
    runs = []
    for run in found.runs.to_dict("records"):
        curve = found.curves[(found.curves["run"] == run["run"]) & (found.curves["step"] > 0)]
        told = {name: curve[name].tolist() for name in ("train_loss", "val_accuracy")}
        runs.append({**told, "test_accuracy": run["test_accuracy"]})
    return _figures(runs)


def _figures(runs: list[dict[str, Any]]) -> Figures:
    found = {
        f"{name} after epoch {epoch + 1}": [run[name][epoch] for run in runs]
        for name in ("train_loss", "val_accuracy")
        for epoch in range(EPOCHS)
    }
    return {**found, "test_accuracy": [run["test_accuracy"] for run in runs]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cifar", default="cifar10")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--validation", type=int, default=5000)
    parser.add_argument("--jobs", type=int)
    asked = parser.parse_args()
    cifar = str(Path(asked.cifar).resolve())
    found = {
        "plain script": plain(cifar, asked.seeds, asked.validation),
        "normbench": ours(cifar, asked.seeds, asked.validation, asked.jobs),
    }
    for name in found["normbench"]:
        values = {side: figures[name] for side, figures in found.items()}
        told = ", ".join(f"{side} {mean(v):.4f}" for side, v in values.items())
        spread = max(stdev(v) for v in values.values()) if asked.seeds > 1 else float("nan")
        print(f"{name}: {told} (standard deviation over seeds at most {spread:.4f})")
    print(f"  {write_result('resnet', {'measured': found})}", file=sys.stderr)


if __name__ == "__main__":
    main()
