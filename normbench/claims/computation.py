"""Statement 10: what RMS norm costs beside layer norm.

The rule, fixed here: fewer operations by formula, and less time by more than both medians scatter,
eager and compiled; a mode in which neither is faster by as much is open.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.verdicts import Piece, Timing, faster, judge
from normbench.config import RuntimeConfig
from normbench.measure.layer_cost import CostRow, measure
from normbench.report.columns import seconds

MIN_RUN_SECONDS = 0.1


def shape_of(context: Context) -> tuple[int, ...]:
    """The shape at the network's first norm: [N, F] or [N, C, H, W]."""
    return context.config.data.batch_size, *context.slot().layer_shape


def pieces_of(rows: list[CostRow]) -> list[Piece]:
    """Fewer operations by formula; faster, eager and compiled, with the kernels named."""
    by = {(row.norm, row.mode): row for row in rows}
    operations: list[Piece] = []
    times = []
    for mode in ("eager", "compiled"):
        rms, layer = by.get(("rms", mode)), by.get(("layer", mode))
        if not (rms and layer and rms.both and layer.both):
            continue
        counts = _operations(rms), _operations(layer)
        told = f"{counts[0]} of {counts[1]}"
        operations = [Piece("fewer operations", {}, counts[0] < counts[1], told)]
        quick = faster(
            Timing(rms.both.seconds, rms.both.iqr), Timing(layer.both.seconds, layer.both.iqr)
        )
        told = f"{_cell(rms)} against {_cell(layer)}"
        numbers = {"rms_seconds": rms.both.seconds, "layer_seconds": layer.both.seconds}
        times.append(Piece("less time", {"mode": mode}, quick, told, numbers))
    return operations + times


def _operations(row: CostRow) -> int:
    return (row.operations_forward or 0) + (row.operations_backward or 0)


def examine(context: Context) -> Evidence:
    """Operations by formula, times eager and compiled, PyTorch's own layers beside ours."""
    context.say("cost of RMS and layer norm")
    config = context.config
    shape = shape_of(context)
    rows = list(
        measure(
            [shape],
            norms=["layer", "rms"],
            policy=config.normalization.policy(),
            device=config.runtime.device,
            threads=config.runtime.threads,
            min_run_seconds=MIN_RUN_SECONDS,
        )
    )
    pieces = pieces_of(rows)
    text = "x".join(map(str, shape))
    remarks = []
    for mode in ("eager", "compiled"):
        cells = [_cell(row) for row in rows if row.mode == mode]
        remarks.append(f"{mode}, shape {text}: " + "; ".join(cells))
    numbers: dict[str, Any] = {
        "shape": list(shape),
        "threads": config.runtime.threads,
        "rows": [asdict(row) for row in rows],
    }
    return Evidence(
        judge(pieces),
        "operations by formula, and time of forward and backward, at the shape of the network's "
        "first norm",
        [_cost_command(text, config.runtime), *context.direct(10)],
        remarks,
        numbers,
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
    Claim(
        10,
        "RMS norm computes less than layer norm",
        "RMS norm needs less computation than layer norm.",
        examine,
        "Zhang & Sennrich 2019, arXiv:1910.07467",
    )
)
