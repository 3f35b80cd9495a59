"""Statement 10: what RMS norm costs beside layer norm."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from normbench.config import RuntimeConfig
from normbench.layer_cost import CostRow, measure
from normbench.report.columns import seconds
from normbench.claims.base import CLAIMS, Claim, Finding
from normbench.claims.context import Context
from normbench.claims.independence import site_shape
from normbench.claims.rules import Timing, Verdict, computation

MIN_RUN_SECONDS = 0.1


def shape_of(context: Context) -> tuple[int, ...]:
    """The shape at the network's first norm: [N, F] or [N, C, H, W]."""
    return context.config.data.batch_size, *site_shape(context.site())


def judge(rows: list[CostRow]) -> tuple[Verdict, tuple[int, int]]:
    """The verdict from the measured rows, and the operations of (RMS norm, layer norm)."""
    by = {(row.norm, row.mode): row for row in rows}
    counts = {}
    timings: dict[str, tuple[Timing, Timing]] = {}
    for mode in ("eager", "compiled"):
        rms, layer = by.get(("rms", mode)), by.get(("layer", mode))
        if not (rms and layer and rms.both and layer.both):
            continue
        counts = {row.norm: _operations(row) for row in (rms, layer)}
        timings[mode] = (
            Timing(rms.both.seconds, rms.both.iqr),
            Timing(layer.both.seconds, layer.both.iqr),
        )
    if not counts:
        return Verdict.NOT_ENOUGH, (0, 0)
    operations = (counts["rms"], counts["layer"])
    return computation(operations, timings), operations


def _operations(row: CostRow) -> int:
    return (row.operations_forward or 0) + (row.operations_backward or 0)


def examine(context: Context) -> Finding:
    """Operations by formula, times eager and compiled, PyTorch's own layers beside ours."""
    context.say("cost of RMS and layer norm")
    config = context.config
    shape = shape_of(context)
    rows = list(
        measure(
            [shape],
            norms=["layer", "rms"],
            setting=config.normalization.setting(),
            device=config.runtime.device,
            threads=config.runtime.threads,
            min_run_seconds=MIN_RUN_SECONDS,
        )
    )
    verdict, operations = judge(rows)
    text = "x".join(map(str, shape))
    evidence = [f"{operations[0]} operations, layer norm {operations[1]} (shape {text})"]
    for mode in ("eager", "compiled"):
        cells = [_cell(row) for row in rows if row.mode == mode]
        evidence.append(f"{mode}: " + "; ".join(cells))
    numbers: dict[str, Any] = {
        "shape": list(shape),
        "threads": config.runtime.threads,
        "operations": {"rms": operations[0], "layer": operations[1]},
        "rows": [asdict(row) for row in rows],
    }
    return Finding(
        verdict,
        "operations by formula, and time of forward and backward, at the shape of the network's "
        "first norm",
        evidence,
        numbers,
        [_cost_command(text, config.runtime), *context.direct(10)],
    )


def _cost_command(shape: str, runtime: RuntimeConfig) -> str:
    words = ["normbench cost --norm layer --norm rms --shape", shape]
    words += ["--threads", str(runtime.threads)] if runtime.threads != 1 else []
    words += ["--device", runtime.device] if runtime.device != "cpu" else []
    return " ".join(words)


def _cell(row: CostRow) -> str:
    name = row.norm.removeprefix("torch.")
    if row.both is None:
        return f"{name} {row.skipped}"
    kernel = f" ({row.kernel})" if row.mode == "eager" and row.norm in ("rms", "layer") else ""
    return f"{name} {seconds(row.both.seconds)}{kernel}"


CLAIMS.register("rms-computation")(
    Claim(10, "RMS norm needs less computation than layer norm.", examine)
)
