"""Parquet, for data frame libraries and databases."""

from __future__ import annotations

import io

from normbench.exporters.base import EXPORTERS, Files, needs
from normbench.exporters.tables import tables
from normbench.store import Results


@EXPORTERS.register("parquet")
def parquet(results: Results) -> Files:
    """Parquet files: the tables of csv with their types (extra: parquet)."""
    with needs("parquet"):
        import pyarrow.parquet  # noqa: F401 - pandas writes with it
    for name, table in tables(results).items():
        file = io.BytesIO()
        table.to_parquet(file, engine="pyarrow", index=False)
        yield f"{name}.parquet", file.getvalue()
