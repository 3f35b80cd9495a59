"""What normbench does on a GPU, in one command: is it correct, and how fast is it?

    python benchmarks/gpu.py [--device cuda] [--minutes 7.5] [--out gpu.json] [--no-compile]

From the source tree, without an installation and without a network: it needs PyTorch with CUDA,
torchvision, and the NumPy and Pillow that they bring, and makes its images itself.

Correctness first: short runs on the device against the same on the CPU, twice the same, stacks
against single runs, compiled against eager, for the norms and the three kinds of network. Then runs
an hour of a 10-layer MLP, a 9-layer CNN and ResNet-20, of a plain script and of normbench alone, in
stacks of 8, 32 and 128, in bf16 and compiled, with the share of the rate that bare matrix products
reach and the accuracies beside it (! where one differs from the plain script's by more than
chance would). Both sides compute under the settings that make runs repeatable: deterministic
kernels, and fp32 without TF32. All of it as JSON as well. What takes long is timed over fewer
steps, and what there is no time for is left out; both are told. Exits with 1 where a check of
correctness failed.

``--device cpu --tiny`` tries its logic out within a minute.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import torch

from benchmarks.gpu_parts import correct, speed, tasks
from normbench.environment import environment
from normbench.training.settings import compute_on

PEAK_SIZE, TINY_PEAK_SIZE = 8192, 256
TINY_STACKS = (1, 2)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=7.5, help="nothing is begun after these")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--tiny", action="store_true", help="small networks, stacks and budgets")
    asked = parser.parse_args(arguments)
    start = time.monotonic()
    if asked.device != "cpu" and not torch.cuda.is_available():
        print(f"no {asked.device} here: torch {torch.__version__} sees no GPU", file=sys.stderr)
        return 2
    compute_on(tasks.run_config(tasks.MLP, device=asked.device).runtime)
    found: dict[str, Any] = {"machine": machine(asked.device), "checks": [], "speed": []}

    def write() -> None:
        found["seconds"] = time.monotonic() - start
        asked.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")

    compiled = not asked.no_compile
    kinds = ("mlp", "resnet") if asked.tiny else tuple(correct.SHORT)
    print("correctness")
    failed = False
    for check in correct.checks(asked.device, compiled=compiled, kinds=kinds):
        number = None if math.isnan(check.difference) else check.difference
        found["checks"].append({**vars(check), "difference": number, "ok": check.ok})
        failed = failed or not check.ok
        print(f"  {told_of(check)}", flush=True)
        write()
    stacks = TINY_STACKS if asked.tiny else speed.STACKS
    size = TINY_PEAK_SIZE if asked.tiny else PEAK_SIZE
    peaks = {word: speed.peak(asked.device, word, size) for word in ("fp32", "bf16")}
    found["peak_tflops"] = {word: rate / 1e12 for word, rate in peaks.items()}
    rates = ", ".join(f"{rate:.1f} in {word}" for word, rate in found["peak_tflops"].items())
    print(f"\nspeed; bare matrix products reach {rates} TFLOP/s")
    print(f"  {HEADINGS}")
    rows = speed.measure(
        tasks.TINY if asked.tiny else tasks.TASKS,
        asked.device,
        speed.settings(stacks, compiled=compiled),
        lambda: 60 * asked.minutes - (time.monotonic() - start),
        peaks,
    )
    for row in rows:
        found["speed"].append(row.as_dict())
        print(f"  {line_of(row)}", flush=True)
        write()
    write()
    print(f"\n{found['seconds']:.0f} s; {asked.out}")
    return int(failed)


def machine(device: str) -> dict[str, Any]:
    """Versions and classes of processor and GPU; nothing that names a machine."""
    told: dict[str, Any] = {**environment(), "torch": torch.__version__, "device": device}
    if device != "cpu":
        properties = torch.cuda.get_device_properties(device)
        told |= {"gpu": properties.name, "gpu_memory_gb": round(properties.total_memory / 1e9)}
        told["cuda"] = torch.version.cuda
    return told


def told_of(check: correct.Check) -> str:
    """One line: what was checked, and what came out."""
    if check.reason:
        return f"NOT MADE  {check.name}: {check.reason}"
    word = "ok      " if check.ok else "WRONG   "
    return f"{word}  {check.name}: {check.difference:.1e} (at most {check.tolerance:g})"


_WIDTHS = {"network": 10, "how": 28, "runs": 5, "runs/hour": 11, "plain": 7, "peak": 6, "test": 7}
HEADINGS = "".join(f"{name:<{width}}" for name, width in _WIDTHS.items()) + "set-up"


def line_of(row: speed.Row) -> str:
    """A row of the table."""
    first = f"{row.task:<{_WIDTHS['network']}}{row.setting:<{_WIDTHS['how']}}"
    if row.reason:
        return f"{first}{row.reason}"
    known = row.test_accuracy
    accuracy = f"{100 * sum(known) / len(known):.1f}" if known else "-"
    sign = " !" if row.accuracy_is_alike is False else ""
    cells = {
        "runs": f"{row.runs}",
        "runs/hour": f"{row.runs_per_hour:.0f}",
        "plain": "" if math.isnan(row.times_plain) else f"{row.times_plain:.1f}x",
        "peak": "" if math.isnan(row.share_of_peak) else f"{100 * row.share_of_peak:.0f}%",
        "test": f"{accuracy}{sign}",
    }
    rest = "".join(f"{text:<{_WIDTHS[name]}}" for name, text in cells.items())
    setup = "-" if math.isnan(row.setup_seconds) else f"{row.setup_seconds:.1f} s"
    return f"{first}{rest}{setup}{' (from fewer steps)' if row.cut_off else ''}"


if __name__ == "__main__":
    sys.exit(main())
