"""The runs behind a claim of the literature, as a small table that can be stored.

A verdict is a function of such tables alone. One is made of an experiment just trained, or read
from its CSV; both ways its numbers have gone through the text of the CSV, so they are the same.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from normbench.analysis.convergence import outcomes
from normbench.atomic import replace_with

if TYPE_CHECKING:
    from normbench.results.experiment import ExperimentResult

IDENTITY = ("role", "norm", "seed")
NUMBERS = (
    *("target", "num_classes", "auc", "val_accuracy", "test_accuracy", "train_accuracy"),
    *("val_accuracy_precise", "train_seconds"),
)
DIGITS = 6


def table_of(result: ExperimentResult) -> pd.DataFrame:
    """One row a planned run and role: role, norm, seed, the sweep keys, tuned, state and
    ``NUMBERS``; what was not measured is missing. train_seconds: the clock of training alone."""
    results = result.results
    parts = []
    for role, runs in results.runs.groupby("role", sort=False):
        frame = outcomes(runs, results.curves, [result.targets[0]])
        last = results.curves.dropna(subset=["train_accuracy"]).groupby("run").last()
        finished = frame["state"] == "finished"
        if len(last):
            frame["train_accuracy"] = frame["run"].map(last["train_accuracy"]).where(finished)
        parts.append(frame.assign(role=role))
    whole = pd.concat(parts, ignore_index=True)
    columns = [*IDENTITY, *results.keys, "tuned", "state", *NUMBERS]
    return read(text_of(whole[columns].sort_values(columns[: -len(NUMBERS)], kind="stable")))


def text_of(table: pd.DataFrame) -> str:
    """The table as CSV, numbers to six digits."""
    return str(table.to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n"))


def read(text: str) -> pd.DataFrame:
    """The table of a CSV's text. A norm called none is a name, not a missing value."""
    missing = {key: [""] for key in (*NUMBERS, "tuned")}
    return pd.read_csv(io.StringIO(text), keep_default_na=False, na_values=missing)


def store(folder: Path, name: str, table: pd.DataFrame) -> None:
    """Write the runs of an experiment as folder/name.csv."""
    folder.mkdir(parents=True, exist_ok=True)
    replace_with(folder / f"{name}.csv", text_of(table).encode())


def stored(folder: Path, names: Iterable[str]) -> dict[str, pd.DataFrame]:
    """name -> runs, of the experiments that have been stored."""
    files = {name: folder / f"{name}.csv" for name in names}
    return {
        name: read(file.read_text(encoding="utf-8"))
        for name, file in files.items()
        if file.is_file()
    }


def keys_of(table: pd.DataFrame) -> list[str]:
    """The sweep keys, which are dotted."""
    return [str(column) for column in table.columns if "." in str(column)]


def select(table: pd.DataFrame, norm: str, role: str, at: Mapping[str, Any]) -> pd.DataFrame:
    """The runs of a norm in a role at a sweep point."""
    mask = (table["norm"] == norm) & (table["role"] == role)
    for key, value in at.items():
        mask &= table[key] == value
    return table[mask]


def cost(tables: Iterable[pd.DataFrame]) -> float:
    """Minutes of training of all runs together, each on one core; a run in two roles once."""
    total = 0.0
    for table in tables:
        once = table.drop_duplicates(["norm", "seed", *keys_of(table), "tuned", "train_seconds"])
        total += float(once["train_seconds"].sum()) / 60
    return total
