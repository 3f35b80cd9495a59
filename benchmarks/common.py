"""What the benchmarks share: on what machine they ran, and where their figures go."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from normbench.environment import environment

RESULTS = Path(__file__).parent.parent / "results" / "benchmarks"


def machine() -> dict[str, Any]:
    """Versions, the class of the processor, cores and memory [GB]; nothing that names a machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        **environment(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(memory / 1e9),
    }


def write_result(name: str, data: dict[str, Any]) -> Path:
    """Write ``data`` with ``machine()`` to results/benchmarks/<name>.json and return the path."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps({"machine": machine(), **data}, indent=1) + "\n", encoding="utf-8")
    return path
