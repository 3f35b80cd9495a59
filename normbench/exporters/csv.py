"""Comma-separated values, for anything that reads tables."""

from __future__ import annotations

from normbench.exporters.base import EXPORTERS, Files
from normbench.exporters.tables import tables
from normbench.store import Results


@EXPORTERS.register("csv")
def csv(results: Results) -> Files:
    """CSV files (UTF-8): runs, curves, probes in long form, verdicts, and columns, which explains.

    Numbers have all their digits; an empty field is a missing or non-finite number.
    """
    for name, table in tables(results).items():
        yield f"{name}.csv", table.to_csv(index=False, lineterminator="\n").encode()
