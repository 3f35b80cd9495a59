"""Time and memory of `compare --json` and `train --dry-run --json` as the number of runs grows.

    python -m benchmarks.scale [--most 100000] [--folder FOLDER]

Each is measured as a whole process, start-up included, on made-up runs of a real run's size (see
make_runs.py; 100,000 of them take 10 GB in FOLDER, by default a temporary one). Of two times in a
row the second counts, when the files are in memory; the first stands beside it. Writes
results/benchmarks/scale.json.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import write_result

COUNTS = (10, 100, 1_000, 10_000, 100_000)
PLANNED = """
name: planned
model: {kind: mlp, depth: 12, width: 64}
norms: [none, batch]
optimizer: {lr: 0.01}
training: {steps: 2000, evaluate_every: 40}
target: {val_accuracy: 0.9}
seeds: 1
"""


def main() -> None:
    """Measure every count up to ``--most``, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most", type=int, default=COUNTS[-1], help="the largest number of runs")
    parser.add_argument("--folder", type=Path, help="where the runs are put, and stay")
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    print(f"{'':8}{'runs':>8}{'wall s':>9}{'first':>9}{'cpu s':>9}{'x':>6}{'peak MB':>9}{'x':>6}")
    with tempfile.TemporaryDirectory() as temporary:
        results = arguments.folder or Path(temporary)
        results.mkdir(parents=True, exist_ok=True)
        (results / "planned.yaml").write_text(PLANNED, encoding="utf-8")
        for runs in (count for count in COUNTS if count <= arguments.most):
            folder = results / f"runs-{runs}"
            if not folder.exists():  # in a process of its own, whose memory is not counted
                script = Path(__file__).with_name("make_runs.py")
                subprocess.run(
                    [sys.executable, script, results, folder.name, str(runs)], check=True
                )
            for verb, command in _commands(results, folder.name, runs).items():
                first, again = _measure(command), _measure(command)
                rows.append(
                    {
                        "verb": verb,
                        "runs": runs,
                        **again,
                        "first_wall_seconds": first["wall_seconds"],
                    }
                )
                _show(rows)
        size = _bytes_per_run(folder)
    print(write_result("scale", {"bytes_per_run": size, "rows": rows}))


def _commands(results: Path, name: str, runs: int) -> dict[str, list[str]]:
    """What is measured, by verb; nothing is trained."""
    planned = ["train", str(results / "planned.yaml"), "--set", f"seeds={runs // 2}"]
    return {
        "compare": ["compare", name, "--results", str(results), "--json"],
        "dry run": [*planned, "--dry-run", "--results", str(results), "--json"],
    }


def _measure(command: list[str]) -> dict[str, float]:
    """Wall and processor seconds and peak memory [MB] of one normbench process."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "normbench", *command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status:
        raise SystemExit(f"normbench {' '.join(command)} failed")
    kilobyte = 1 if sys.platform == "darwin" else 1024
    return {
        "wall_seconds": round(wall, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss * kilobyte / 1e6),
    }


def _show(rows: list[dict[str, Any]]) -> None:
    """Print the last row, with its ratio to the same verb at a tenth of the runs."""
    row = rows[-1]
    before = next(
        (r for r in rows if (r["verb"], r["runs"] * 10) == (row["verb"], row["runs"])), {}
    )
    ratios = [
        f"{row[key] / before[key]:.1f}" if before else "–" for key in ("cpu_seconds", "peak_mb")
    ]
    print(
        f"{row['verb']:8}{row['runs']:8,}{row['wall_seconds']:9.2f}{row['first_wall_seconds']:9.2f}"
        f"{row['cpu_seconds']:9.2f}{ratios[0]:>6}{row['peak_mb']:9,}{ratios[1]:>6}",
        flush=True,
    )


def _bytes_per_run(folder: Path) -> int:
    """The mean size of a run's files, over its first thousand runs."""
    runs = sorted(folder.iterdir())[:1000]
    sizes = [sum(file.stat().st_size for file in run.iterdir()) for run in runs if run.is_dir()]
    return sum(sizes) // len(sizes)


if __name__ == "__main__":
    main()
