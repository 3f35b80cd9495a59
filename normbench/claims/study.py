"""An experiment behind the statements, as numbers that pair by seed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.convergence import outcomes
from normbench.analysis.tuning import trains
from normbench.config.grid import SweepPoint, combinations
from normbench.results.experiment import ExperimentResult

FACTORS = {"model.init": "init", "model.depth": "depth", "data.batch_size": "batch size"}
"""Swept keys by the names they have in a situation."""

SHARED, BEST = "shared rate", "own best rates"
ROLES = {SHARED: "report", BEST: "best"}


@dataclass(frozen=True)
class Study:
    """An experiment, trained or read back, and what reproduces it."""

    comparison: ExperimentResult
    command: str

    @property
    def config(self) -> Mapping[str, Any]:
        """The resolved config."""
        return self.comparison.results.config

    @cached_property
    def sweep_points(self) -> list[SweepPoint]:
        """Every point of its sweep, in order; one empty point without a sweep."""
        return combinations(self.config["sweep"])

    def situation(self, sweep_point: SweepPoint, **more: Any) -> dict[str, Any]:
        """factor -> value at a point, the initialization always among them."""
        init = {"init": self.config["model"].get("init")}
        swept = {FACTORS.get(key, key): value for key, value in sweep_point.items()}
        return {**{key: value for key, value in init.items() if value}, **swept, **more}

    @property
    def target(self) -> float:
        """The validation accuracy to reach."""
        return self.comparison.targets[0]

    @cached_property
    def _outcomes(self) -> dict[str, pd.DataFrame]:
        results = self.comparison.results
        tables = {}
        for role, runs in results.runs.groupby("role", sort=False):
            frame = outcomes(runs, results.curves, [self.target])
            if "train_accuracy" in results.curves:
                last = results.curves.dropna(subset=["train_accuracy"]).groupby("run").last()
                frame["train_accuracy"] = frame["run"].map(last["train_accuracy"])
                frame.loc[frame["state"] != "finished", "train_accuracy"] = math.nan
            tables[str(role)] = frame
        return tables

    def runs(self, norm: str, role: str, sweep_point: SweepPoint) -> pd.DataFrame:
        """The runs of a norm in a role ("report", "tune", "best") at a point: rows of
        ``analysis.convergence.outcomes``."""
        frame = self._outcomes.get(role, pd.DataFrame())
        if frame.empty:
            return frame
        mask = frame["norm"] == norm
        for key, value in sweep_point.items():
            mask &= frame[key] == value
        return frame[mask]

    def by_seed(self, norm: str, column: str, role: str, sweep_point: SweepPoint) -> pd.Series:
        """seed -> a column; empty where nothing was recorded."""
        runs = self.runs(norm, role, sweep_point)
        if runs.empty or column not in runs:
            return pd.Series(dtype=float)
        return runs.set_index("seed")[column].astype(float)

    def mean(self, norm: str, column: str, role: str, sweep_point: SweepPoint) -> float:
        """Mean of a column over the seeds; NaN where nothing was recorded."""
        values = self.by_seed(norm, column, role, sweep_point)
        return float(values.mean()) if len(values) else math.nan

    def rate(self, norm: str, sweep_point: SweepPoint) -> float:
        """The norm's own best rate at a point; NaN where none was chosen."""
        choices = self.comparison.choices
        if choices.empty:
            return math.nan
        mask = choices["norm"] == norm
        for key, value in sweep_point.items():
            mask &= choices[key] == value
        return float(choices.loc[mask, "best"].iloc[0]) if mask.any() else math.nan

    # -- the grid of rates --------------------------------------------------------------------

    @property
    def grid(self) -> list[float]:
        """The rates that were tried, ascending; empty without a tuning."""
        tune = self.config.get("tune") or {}
        return sorted(map(float, tune.get("optimizer.lr", [])))

    def share_that_trains(self, norm: str, sweep_point: SweepPoint) -> pd.Series:
        """seed -> share of the grid's rates at which the norm trains (``tuning.trains``)."""
        table = self._trained(norm, sweep_point)
        return table.mean(axis=1).where(table.notna().all(axis=1)) if len(table) else pd.Series()

    def largest_rate(self, norm: str, sweep_point: SweepPoint) -> pd.Series:
        """seed -> log10 of the grid's largest rate that trains; a step of the grid below its lowest
        where none does."""
        table = self._trained(norm, sweep_point)
        if table.empty:
            return pd.Series(dtype=float)
        logs = np.log10(np.array(table.columns, dtype=float))
        largest = np.where(table.fillna(0) > 0, logs, logs[0] - self.grid_step).max(axis=1)
        return pd.Series(largest, index=table.index).where(table.notna().all(axis=1))

    @property
    def grid_step(self) -> float:
        """log10 of the mean factor from one rate of the grid to the next."""
        grid = self.grid
        return math.log10(grid[-1] / grid[0]) / (len(grid) - 1) if len(grid) > 1 else 1.0

    def _trained(self, norm: str, sweep_point: SweepPoint) -> pd.DataFrame:
        """[seeds, rates]: 1.0 where it trained, 0.0 where not, NaN where a run is missing."""
        runs = self.runs(norm, "tune", sweep_point)
        if runs.empty:
            return pd.DataFrame()
        good = [
            float(trains(accuracy, 1 / classes, self.target)) if math.isfinite(accuracy) else np.nan
            for accuracy, classes in zip(runs["val_accuracy"], runs["num_classes"], strict=True)
        ]
        return runs.assign(good=good).pivot_table("good", "seed", "tuned", dropna=False)

    # -- the probes ---------------------------------------------------------------------------

    def probed(
        self, norm: str, quantity: str, sweep_point: SweepPoint, step: int = 0
    ) -> pd.DataFrame:
        """A probe of the reporting runs by layer: a row a seed, columns 0 (at the input) to L-1."""
        probes, runs = self.comparison.results.probes, self.runs(norm, "report", sweep_point)
        if probes.empty or runs.empty or quantity not in probes:
            return pd.DataFrame()
        seeds = runs.set_index("run")["seed"]
        rows = probes[(probes["step"] == step) & probes["run"].isin(seeds.index)]
        rows = rows[rows[quantity].notna()]
        if rows.empty:
            return pd.DataFrame()
        values = np.stack([np.asarray(value, dtype=float) for value in rows[quantity]])
        return pd.DataFrame(values, index=rows["run"].map(seeds).to_numpy())


def paired(first: pd.Series, second: pd.Series) -> tuple[float, ...]:
    """first less second by seed; NaN where either has no value for a seed."""
    seeds = first.index.union(second.index).sort_values()
    difference = first.reindex(seeds).astype(float) - second.reindex(seeds).astype(float)
    return tuple(float(value) for value in difference)
