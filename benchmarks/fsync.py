"""What it costs that results are on the disk: seconds in fsync over seconds of training.

    python -m benchmarks.fsync [--data-dir DIR] [--results DIR]

Trains the bundled digits experiment, and with --data-dir two runs of mnist-cnn for a few minutes.
The driver alone calls fsync, beside the training; every call is timed there. --results says on
which disk. Writes results/benchmarks/fsync.json.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import normbench
from benchmarks.common import write_result

EXPERIMENTS: dict[str, list[str]] = {
    "digits": [],
    "mnist-cnn": ["norms=[none, batch]", "seeds=1", "training.epochs=6"],
}


def measured(config: str, overrides: list[str], results: str, data_dir: Path | None) -> Any:
    """Calls of fsync of the driver, seconds in them, and those of training, of all runs."""
    seconds: list[float] = []
    real = os.fsync

    def timed(handle: int) -> None:
        start = time.perf_counter()
        real(handle)
        seconds.append(time.perf_counter() - start)

    os.fsync = timed
    try:
        found = normbench.train(
            config, overrides=overrides, results=results, data_dir=data_dir, jobs=1
        )
    finally:
        os.fsync = real
    trained = float(found.results.runs["train_seconds"].sum())
    return {
        "runs": len(found.results.runs),
        "training_seconds": round(trained, 2),
        "fsync_calls": len(seconds),
        "fsync_seconds": round(sum(seconds), 4),
        "percent": round(100 * sum(seconds) / trained, 3),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--results", type=Path, default=Path.cwd())
    arguments = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory(dir=arguments.results) as folder:
        for config, overrides in EXPERIMENTS.items():
            if config == "digits" or arguments.data_dir:
                found[config] = measured(config, overrides, folder, arguments.data_dir)
                print(config, found[config], flush=True)
    print(write_result("fsync", {"experiments": found}))


if __name__ == "__main__":
    main()
