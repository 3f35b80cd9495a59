"""An experiment's tables: what ``train`` and ``compare`` give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from normbench.analysis import comparison, convergence, signal, tuning
from normbench.analysis.fairness import Fairness, fairness
from normbench.store import SCHEMA, Results
from normbench.store.files import finite

if TYPE_CHECKING:
    from normbench.execution import Outcome


@dataclass(frozen=True)
class Tables:
    """The tables over one set of runs, each computed when first asked for."""

    results: Results
    baseline: str
    targets: list[float]

    @property
    def norms(self) -> list[str]:
        """The labels of the norms, in the config's order."""
        return list(dict.fromkeys(self.results.runs["norm"]))

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row a run and target: see ``analysis.convergence.outcomes``."""
        return convergence.outcomes(self.results.runs, self.results.curves, self.targets)

    @cached_property
    def by_target(self) -> pd.DataFrame:
        """The convergence table with a row for each target."""
        return convergence.tabulate(self.outcomes, self.results.keys, self.norms)

    @property
    def convergence(self) -> pd.DataFrame:
        """The convergence table for the primary target, the first one."""
        table = self.by_target
        return table[table["target"] == self.targets[0]].reset_index(drop=True)

    @cached_property
    def gradients(self) -> pd.DataFrame:
        """The gradient table: see ``analysis.signal.gradient_table``. Empty without probes."""
        if self.results.probes.empty:
            return pd.DataFrame()
        return signal.gradient_table(
            self.results.runs, self.results.probes, self.results.keys, self.norms
        )

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Every norm against the baseline: see ``analysis.comparison.compare``."""
        return self.paired()

    def paired(self, *, all_pairs: bool = False) -> pd.DataFrame:
        """Every norm against the baseline, or every two norms."""
        primary = self.outcomes[self.outcomes["target"] == self.targets[0]]
        return comparison.compare(
            primary, self.norms, self.baseline, self.results.keys, all_pairs=all_pairs
        )

    @cached_property
    def fairness(self) -> Fairness:
        """Whether all norms started from the same backbone and saw the same batches."""
        return fairness(self.results.runs, self.results.keys)


@dataclass(frozen=True)
class Comparison:
    """One experiment's results as tables.

    outcome: what the training did, when this came from ``train``.
    """

    results: Results
    outcome: Outcome | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.results.name

    @cached_property
    def targets(self) -> list[float]:
        """The validation accuracies to reach; the first one is the primary target.

        A target taken from a norm is the median final validation accuracy of its pilot runs;
        NaN while none has ended.
        """
        target = self.results.config["target"]
        if "val_accuracy" in target:
            return [float(value) for value in target["val_accuracy"]]
        pilots = self._role("pilot", targets=[])
        return [float(pilots.outcomes["val_accuracy"].median())]

    @cached_property
    def reported(self) -> Tables:
        """The tables over the reporting runs, at the values that the config gives."""
        return self._role("report")

    @cached_property
    def best(self) -> Tables | None:
        """The tables at each norm's own best tuned value, if there was a tuning."""
        return self._role("best") if (self.results.runs["role"] == "best").any() else None

    @property
    def tuned_key(self) -> str | None:
        """The key that was tuned, such as optimizer.lr."""
        tune = self.results.config.get("tune")
        return next(key for key in tune if key != "seeds") if tune else None

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """Validation accuracy by norm and tuned value: see ``analysis.tuning.sensitivity``."""
        tables = self._role("tune", targets=[])
        return tuning.sensitivity(tables.outcomes, self.results.keys, tables.norms)

    @cached_property
    def choices(self) -> pd.DataFrame:
        """Each norm's own best value: see ``analysis.tuning.choose``. Empty without tuning."""
        if self.tuned_key is None:
            return pd.DataFrame()
        return tuning.choose(self.sensitivity, self.results.keys)

    @property
    def chosen(self) -> dict[tuple[str, tuple[Any, ...]], Any]:
        """(norm, sweep values) -> its own best tuned value."""
        return {
            (row["norm"], tuple(row[key] for key in self.results.keys)): row["best"]
            for row in self.choices.to_dict("records")
        }

    def _role(self, role: str, targets: list[float] | None = None) -> Tables:
        return Tables(
            self.results.only(self.results.runs["role"] == role),
            self.results.config["baseline"],
            self.targets if targets is None else targets,
        )

    @property
    def convergence(self) -> pd.DataFrame:
        """The convergence table for the primary target."""
        return self.reported.convergence

    @property
    def gradients(self) -> pd.DataFrame:
        """The gradient table."""
        return self.reported.gradients

    @property
    def comparisons(self) -> pd.DataFrame:
        """The paired comparisons with the baseline."""
        return self.reported.comparisons

    @property
    def fairness(self) -> Fairness:
        """The fairness check over the reporting runs."""
        return self.reported.fairness

    def to_dict(self, *, all_pairs: bool = False) -> dict[str, Any]:
        """The object that ``--json`` prints; missing and infinite numbers are None."""
        tables = self.reported
        return {
            "schema": SCHEMA,
            "experiment": self.name,
            "baseline": tables.baseline,
            "fairness": {
                "backbones_identical": self.fairness.backbones_identical,
                "batches_identical": self.fairness.batches_identical,
                "runs_compared": self.fairness.compared,
                "differing": list(self.fairness.differing),
            },
            "convergence": records(tables.convergence),
            "gradients": records(tables.gradients),
            "comparisons": records(tables.paired(all_pairs=all_pairs)),
        }


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table as plain values for JSON."""
    return [
        {str(name): _plain(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    return finite(value)
