"""That runs have no outcome, and why."""

from __future__ import annotations

import pandas as pd

from normbench.errors import NormbenchError, RunsFailed, StoreError
from normbench.store import Results


def no_outcome(results: Results, told: str, runs: pd.DataFrame, *, trained: bool) -> NormbenchError:
    """The error to raise: what is ``told`` of the experiment, the runs' states and their reasons.

    trained: whether they were trained just now; then failed runs are a RunsFailed.
    """
    states = ", ".join(f"{n} {state}" for state, n in runs["state"].value_counts().items())
    lines = sorted(set(results.reasons.values()))[:5]
    failed = runs.loc[runs["state"] == "failed", "run"]
    if len(failed):
        path = results.path / failed.iloc[0] / "manifest.json"
        lines.append(f'where it broke stands under "details" in {path}')
    lines.append("`normbench train` with its config trains or continues them")
    kind = RunsFailed if trained and len(failed) else StoreError
    more = "".join(f"\n    {line}" for line in lines)
    return kind(f"experiment {results.name!r} {told} ({states or 'no runs'}){more}")
