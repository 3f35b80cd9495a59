"""The tables of ``normbench cost``, one a shape, and its rows as plain values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from normbench.measure.layer_cost import CostRow, Time
from normbench.report.columns import Column, Row, norm_column, seconds
from normbench.report.sections import Section

NOTE = (
    "median ± interquartile range of one call; both: forward and backward, beside it under "
    "torch.compile; of copy: least bytes over time, against a copy of the same size; memory: most "
    "held by both beyond input, output gradient and parameters; bytes: the least that must move"
)


@dataclass(frozen=True)
class Costs:
    """What norm layers cost. rows: see ``normbench.measure.layer_cost.CostRow``."""

    rows: tuple[CostRow, ...]

    @property
    def table(self) -> pd.DataFrame:
        """One row a shape, norm and mode: see ``flat``."""
        return pd.DataFrame([flat(row) for row in self.rows])


def shape_text(shape: Sequence[int]) -> str:
    """(128, 256) -> 128x256."""
    return "x".join(map(str, shape))


def flat(row: CostRow) -> dict[str, Any]:
    """A row's fields as plain values.

    shape as a text; each time as <name>_seconds and <name>_iqr; and of_copy, the share that
    bandwidth has of copy_bandwidth.
    """
    values = asdict(row) | {"shape": shape_text(row.shape)}
    for name in ("forward", "backward", "both"):
        time: Time | None = getattr(row, name)
        del values[name]
        values[f"{name}_seconds"] = time.seconds if time else None
        values[f"{name}_iqr"] = time.iqr if time else None
    share = row.bandwidth / row.copy_bandwidth if row.bandwidth and row.copy_bandwidth else None
    return values | {"of_copy": share}


def sections(rows: Sequence[CostRow]) -> list[Section]:
    """One table a shape, a row a norm: eager, and its time when compiled."""
    tables = []
    norms = list(dict.fromkeys(row.norm for row in rows))
    for shape in dict.fromkeys(row.shape for row in rows):
        here = [row for row in rows if row.shape == shape]
        first = here[0]
        threads = f"{first.threads} thread{'s' if first.threads > 1 else ''}"
        title = f"{shape_text(shape)}, {first.dtype}, {first.device}, {threads}"
        compiled = any(row.mode == "compiled" for row in here)
        notes = "\n".join([NOTE, *_notes(here)])
        tables.append(Section(title, _beside(here), _columns(compiled), notes, norms))
    return tables


def _beside(rows: Sequence[CostRow]) -> pd.DataFrame:
    """The eager rows, with the compiled times in columns of their own."""
    compiled = {row.norm: flat(row) for row in rows if row.mode == "compiled"}
    return pd.DataFrame(
        [
            {
                **flat(row),
                **{
                    f"compiled_{name}": compiled.get(row.norm, {}).get(name)
                    for name in ("both_seconds", "both_iqr", "kernel", "skipped")
                },
            }
            for row in rows
            if row.mode == "eager"
        ]
    )


def _columns(compiled: bool) -> list[Column]:
    beside = [Column("compiled", lambda row: _time(row, "compiled_both"))] if compiled else []
    return [
        norm_column(),
        Column("forward", lambda row: _time(row, "forward"), weight=2),
        Column("backward", lambda row: _time(row, "backward"), weight=2),
        Column("both", lambda row: _time(row, "both")),
        *beside,
        Column("of copy", lambda row: _share(row["of_copy"])),
        Column("memory", lambda row: amount(row["peak_bytes"], "B")),
        Column("bytes", lambda row: amount(_sum(row, "least_bytes"), "B"), weight=4),
        Column("operations", lambda row: amount(_sum(row, "operations"), ""), weight=3),
        Column("params", lambda row: amount(row["parameters"], ""), weight=5),
        Column("kernel", _kernel, left=True, weight=1),
    ]


def _notes(rows: Sequence[CostRow]) -> list[str]:
    """Which norms have no fused kernel, and what was skipped and why: one line a reason."""
    reasons: dict[str, list[str]] = {}
    for row in rows:
        reason = row.skipped or ""
        if row.kernel and "no fused" in row.kernel:
            reason = row.kernel
        if reason:
            reasons.setdefault(reason, []).append(row.norm)
    return [f"{', '.join(dict.fromkeys(norms))}: {reason}" for reason, norms in reasons.items()]


def _kernel(row: Row) -> str:
    if not isinstance(row["kernel"], str):
        return "–"
    if row["kernel"] == "no operation":
        return "none"
    return "fused" if row["kernel"].endswith("fused") else "not fused"


def _time(row: Row, name: str) -> str:
    median, spread = row[f"{name}_seconds"], row[f"{name}_iqr"]
    if _missing(median):
        return "–"
    text = seconds(median)
    return f"{text} ±{100 * spread / median:.0f}%" if median > 0 else text


def _share(value: float | None) -> str:
    return "–" if value is None or math.isnan(value) else f"{100 * value:.0f} %"


def _sum(row: Row, name: str) -> float:
    parts = [row[f"{name}_forward"], row[f"{name}_backward"]]
    return math.nan if any(_missing(part) for part in parts) else sum(parts)


def amount(value: float | None, unit: str) -> str:
    """12345 B -> 12.3 kB; a missing one is a dash."""
    if value is None or math.isnan(value):
        return "–"
    for prefix in ("", "k", "M"):
        if value < 1000:
            return f"{value:.3g} {prefix}{unit}".strip()
        value /= 1000
    return f"{value:.3g} G{unit}"


def _missing(value: float | None) -> bool:
    return value is None or math.isnan(value)
