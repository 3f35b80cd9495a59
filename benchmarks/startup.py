"""How long each verb lets one wait, against `python -c "import torch"` in the same rounds.

    python -m benchmarks.startup [--rounds 7]

Every command is a whole process. They take turns, so that whatever else the machine does falls on
all of them alike, and a goal is a multiple of the median import of torch plus a few seconds. Ends
with exit code 1 when a goal is missed. Writes results/benchmarks/startup.json.
"""

from __future__ import annotations

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.common import write_result

TINY = """
name: tiny
data: {dataset: digits}
model: {kind: mlp, depth: 3, width: 32}
norms: [batch, layer]
optimizer: {kind: sgd, lr: 0.05}
training: {steps: 5, evaluate_every: 5}
target: {val_accuracy: 0.5}
seeds: 1
"""


class Goal(NamedTuple):
    """At most ``torch`` imports of torch and ``seconds`` more."""

    torch: float
    seconds: float

    def __str__(self) -> str:
        return f"{self.torch:g} T" + (f" + {self.seconds:g} s" if self.seconds else "")


AT_ONCE, NO_TORCH, SCHEMA, TRAIN = Goal(0.3, 0), Goal(1, 0), Goal(1, 0.5), Goal(2, 1.5)
VERBS: dict[str, Goal] = {
    "--help": AT_ONCE,
    "--version": AT_ONCE,
    "compare tiny": NO_TORCH,
    "report tiny": NO_TORCH,
    "list runs": NO_TORCH,
    "show tiny/batch-s0": NO_TORCH,
    "validate tiny.yaml": SCHEMA,
    "list norms": SCHEMA,
    "show tiny.yaml": SCHEMA,
    "init {new}.yaml --yes": SCHEMA,
    "train tiny.yaml --fresh --yes": TRAIN,
}


def main() -> None:
    """Measure every verb, print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured")
    rounds = parser.parse_args().rounds
    torch: list[float] = []
    took: dict[str, list[float]] = {verb: [] for verb in VERBS}
    new = itertools.count()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "tiny.yaml").write_text(TINY, encoding="utf-8")
        _seconds(folder, "-m", "normbench", "train", "tiny.yaml")  # the files come into memory
        for _ in range(rounds):
            torch.append(_seconds(folder, "-c", "import torch"))
            for verb in VERBS:
                words = verb.format(new=f"new{next(new)}").split()
                took[verb].append(_seconds(folder, "-m", "normbench", *words))
    unit = statistics.median(torch)
    print(f"T, the import of torch: {unit:.2f} s ({min(torch):.2f} to {max(torch):.2f})")
    print(f"{'':31}{'s':>7}{'T':>7}   goal")
    rows = []
    for verb, goal in VERBS.items():
        seconds = statistics.median(took[verb])
        kept = seconds <= goal.torch * unit + goal.seconds
        print(f"{verb:31}{seconds:7.2f}{seconds / unit:7.2f}   {goal}{'' if kept else '  missed'}")
        rows.append(
            {
                "verb": verb,
                "seconds": round(seconds, 3),
                "torch": round(seconds / unit, 3),
                "goal": str(goal),
                "kept": kept,
            }
        )
    write_result("startup", {"rounds": rounds, "torch_seconds": round(unit, 3), "rows": rows})
    sys.exit(not all(row["kept"] for row in rows))


def _seconds(folder: Path, *words: str) -> float:
    # As an installed program runs: compiled once, and not anew in every process.
    env = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], cwd=folder, check=True, capture_output=True, env=env)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
