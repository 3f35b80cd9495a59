"""An experiment's tables: what ``train`` and ``compare`` give back."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from normbench.analysis import tuning
from normbench.analysis.curves import by_seed
from normbench.analysis.fairness import Fairness, fairness, fairness_line
from normbench.analysis.halving import Search, searches
from normbench.analysis.rule import VerdictRule
from normbench.charts.base import CHARTS, ChartData
from normbench.constants import OUTCOME_STATES, SCHEMA
from normbench.dotted import flatten_config, tuned_key
from normbench.errors import ConfigError, NormbenchError, Problem, StoreError, suggest
from normbench.registry import UnknownName
from normbench.results.chart_data import judged_rows, lost, measured, seeds_of
from normbench.results.no_outcome import no_outcome
from normbench.results.records import records, verdicts
from normbench.results.swaps import NormSwaps, swaps_of
from normbench.results.tables import ResultTables as ResultTables
from normbench.results.tables import contenders, looks_of
from normbench.store import Results

if TYPE_CHECKING:
    from normbench.charts.marks import Drawn
    from normbench.plan import Outcome


@dataclass(frozen=True)
class ExperimentResult:
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

        A target taken from a norm is the median final validation accuracy of its pilot runs that
        have ended. Raises StoreError while none has, RunsFailed after training.
        """
        target = self.results.config["target"]
        if "val_accuracy" in target:
            return [float(value) for value in target["val_accuracy"]]
        pilots = self._role("pilot", targets=[])
        accuracies = pilots.outcomes["val_accuracy"].dropna()
        if accuracies.empty:
            told = f"takes its target from pilot runs of {target['from']!r}, and none has a result"
            raise self._no_outcome(told, pilots.results.runs)
        return [float(accuracies.median())]

    @property
    def has_targets(self) -> bool:
        """Whether ``targets`` are known."""
        try:
            return bool(self.targets)
        except NormbenchError:
            return False

    @cached_property
    def shared(self) -> ResultTables | None:
        """The tables at the values that the config gives; None where all runs are at own best."""
        return self._role("report") if self.best is None or not self.halved else None

    @cached_property
    def reported(self) -> ResultTables:
        """The tables over the reporting runs, at the values that the config gives, or else at each
        norm's own best."""
        if self.shared is not None:
            return self.shared
        assert self.best is not None
        return self.best

    @cached_property
    def best(self) -> ResultTables | None:
        """The tables at each norm's own best tuned value, if there was a tuning."""
        return self._own_best() if (self.results.runs["role"] == "best").any() else None

    @property
    def halved(self) -> bool:
        """Whether own best values are searched by halving: several of a norm may then race."""
        return (self.results.config.get("tune") or {}).get("search") == "halving"

    def _own_best(self) -> ResultTables:
        tables = self._role("best")
        return contenders(tables) if self.halved else tables

    def against(self, baseline: str) -> ExperimentResult:
        """The same experiment with another of its norms as the baseline. Raises ConfigError."""
        known = self.reported.norms
        if baseline not in known:
            problem = f"{baseline!r} is none of the norms of {self.name!r}"
            raise ConfigError([Problem("baseline", problem, suggest(baseline, known))])
        config = {**self.results.config, "baseline": baseline}
        return dataclasses.replace(self, results=dataclasses.replace(self.results, config=config))

    def value(self, key: str) -> Any:
        """What the config says at a dotted key, before any sweep; None where it says nothing."""
        return flatten_config(self.results.config).get(key)

    @property
    def tuned_key(self) -> str | None:
        """The key that is tuned, such as optimizer.lr."""
        return tuned_key(self.results.config)

    @cached_property
    def sensitivity(self) -> pd.DataFrame:
        """Accuracy, area and steps by norm and tuned value: see ``analysis.tuning.sensitivity``."""
        tables, outcomes = self._tuning
        return tuning.sensitivity(outcomes, self.results.keys, tables.norms, target=self.targets[0])

    @cached_property
    def _tuning(self) -> tuple[ResultTables, pd.DataFrame]:
        """The tuning runs, and their outcomes with the values as the config has them."""
        tables = self._role("tune")
        # In a column with NaN a whole number is 32.0, which no config takes for 32.
        grid = {float(value): value for value in self.results.config["tune"][self.tuned_key]}
        return tables, tables.primary.assign(tuned=tables.primary["tuned"].map(grid))

    @cached_property
    def searches(self) -> dict[tuple[str, tuple[Any, ...]], Search]:
        """(norm, sweep values) -> where its search by halving stands: see ``analysis.halving``."""
        tables, outcomes = self._tuning
        config = self.results.config["tune"]
        first, seeds = int(tables.results.runs["seed"].min()), config["seeds"]
        if isinstance(seeds, int):  # those that follow the reporting seeds
            seeds = range(first, first + seeds)
        return searches(
            outcomes,
            tables.norms,
            self.results.keys,
            grid=config[self.tuned_key],
            seeds=seeds,
            metric=tables.rule.metric,
            target=self.targets[0],
        )

    @cached_property
    def choices(self) -> pd.DataFrame:
        """Each norm's own best value: see ``analysis.tuning.choose``. Empty without tuning.

        As soon as there are runs at it also ``pairs``, ``gain`` and ``worse``: see
        ``analysis.tuning.against_shared``.
        """
        if self.tuned_key is None:
            return pd.DataFrame()
        keys, metric = self.results.keys, self.reported.rule.metric
        table = tuning.choose(self.sensitivity, keys, metric, self._raced if self.halved else None)
        if self.best is None or self.shared is None:
            return table
        gained = tuning.against_shared(self.best.primary, self.shared.primary, keys, metric)
        return table.merge(gained, on=["norm", *keys], how="left")

    @property
    def chosen(self) -> dict[tuple[str, tuple[Any, ...]], Any]:
        """(norm, sweep values) -> its own best tuned value."""
        return {
            (row["norm"], tuple(row[key] for key in self.results.keys)): row["best"]
            for row in self.choices.to_dict("records")
        }

    @property
    def racing(self) -> dict[tuple[str, tuple[Any, ...]], Any]:
        """(norm, sweep values) -> the tuned value that it races at, or a tuple of several."""
        if not self.halved:
            return self.chosen
        return {at: search.values for at, search in self.searches.items() if search.ended}

    @property
    def _raced(self) -> dict[tuple[Any, ...], float]:
        """(norm, *sweep values) -> the value by which it stands in ``best``; before there is a run
        the one that the search has in front."""
        searches = {at: own.values for at, own in self.searches.items() if own.values}
        picked = {(norm, *at): values[0] for (norm, at), values in searches.items()}
        if self.best is not None:
            runs = self.best.results.runs
            named = runs[["norm", *self.results.keys, "tuned"]].drop_duplicates()
            picked |= {tuple(row[:-1]): row[-1] for row in named.itertuples(index=False)}
        return picked

    @property
    def judged(self) -> ResultTables:
        """The tables that a conclusion about a norm rests on.

        Those at each norm's own best value where one is tuned, as soon as there are runs of them.
        """
        return self.best or self.reported

    @property
    def looked_at(self) -> tuple[int, ...]:
        """How many seeds were compared each time that a training ended, as far as it changed."""
        return self.results.looked_at

    @property
    def peeked(self) -> str:
        """What to say where the number of seeds was changed after they had been compared.

        The error rates hold for a number, or for looks, that stand beforehand. Else empty.
        """
        if len(self.looked_at) < 2:
            return ""
        *before, last = self.looked_at
        told = ", ".join(map(str, before))
        return (
            f"The results were looked at with {told} seeds before it became {last}: whoever adds "
            "seeds until a verdict appears errs more often than 5 %. Seeds that stand beforehand, "
            "or seeds: auto, do not."
        )

    @property
    def rule_changed(self) -> str:
        """What to say where what judges was chosen after results had been seen; else empty."""
        if len(self.results.rules) < 2:
            return ""
        first, *_, last = self.results.rules
        was, now = VerdictRule.of(first["verdict"]), VerdictRule.of(last["verdict"])
        if was == now or now != self.reported.rule:
            return ""
        return (
            f"The verdict was to be by {was.text}, and is by {now.text}: changed after "
            f"{last['seeds']} seeds had been compared, it is exploratory. Whoever chooses what "
            "judges after seeing the results errs more often than 5 %."
        )

    def _role(self, role: str, targets: list[float] | None = None) -> ResultTables:
        # Where a value is tuned, the looks are at each norm's own best; the runs at the shared
        # value get the seeds of the first.
        raced = role == "best" or (role == "report" and self.tuned_key is None)
        return ResultTables(
            self.results.only(self.results.runs["role"] == role),
            self.results.config["baseline"],
            self.targets if targets is None else targets,
            looks_of(self.results.config) if raced else None,
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

    @cached_property
    def fairness(self) -> Fairness:
        """Whether all norms started from the same backbone and saw the same batches.

        Over all runs, tuning runs included, each held against those of its own role, and where the
        tuned key changes more than the optimizer, those at the same value.
        """
        runs = self.results.runs
        # The optimizer changes neither weights at the start nor batches; other keys may.
        by_value = not (self.tuned_key or "").startswith("optimizer.")
        grid = runs["tuned"].where((runs["role"] == "tune") | by_value)
        return fairness(runs.assign(grid=grid), [*self.results.keys, "role", "grid"])

    def fairness_text(self, more: str = "") -> str:
        """One line: what was equal, or which run differs, ``more``, which norms were exchanged."""
        line = f"{fairness_line(self.fairness)}{more}"
        return f"{line}; {self.swaps.text(self.fairness.own_terms)}" if self.swaps else line

    @cached_property
    def swaps(self) -> NormSwaps | None:
        """Which norms were exchanged for what; None for runs of an earlier normbench."""
        return swaps_of(self.results)

    @property
    def at_own_best(self) -> bool:
        """Whether each norm is judged at its own best tuned value: once all those runs ended."""
        own = self.results.runs[self.results.runs["role"] == "best"]
        ended = own["state"].isin((*OUTCOME_STATES, "failed")).all()
        return len(own) > 0 and (self.shared is None or bool(ended))

    @property
    def answered(self) -> ResultTables:
        """The tables that the answer is read from: ``judged``, once all their runs have ended."""
        return self.best if self.best is not None and self.at_own_best else self.reported

    @cached_property
    def chart_data(self) -> ChartData:
        """What the charts of the answer's runs are drawn from. Reads every probed step."""
        tables = self.answered
        keys, rule = tables.results.keys, tables.rule
        primary = tables.outcomes[tables.outcomes["target"] == self.targets[0]]
        data = measured(tables.results, tables.norms, tables.baseline, self.targets[0])
        of = (lost(primary, keys), tables.results.curves)
        own = f"; each norm at its own best {self.tuned_key}" if self.at_own_best else ""
        return dataclasses.replace(
            data,
            about=f"{data.about}{own}",
            metric=rule.metric,
            best=judged_rows(tables.best_set, keys, rule),
            outcomes=seeds_of(primary, keys),
            accuracy_by_seed=by_seed(*of, "val_accuracy", keys, tables.norms),
            loss_by_seed=by_seed(*of, "train_loss", keys, tables.norms),
            survival=tables.survival,
            convergence=tables.convergence,
            sensitivity=self.sensitivity if self.tuned_key else pd.DataFrame(),
            tuned_key=self.tuned_key,
        )

    def chart(self, name: str) -> Drawn:
        """A chart of the reporting runs by its name; a notebook shows it.

        Raises ConfigError for an unknown name, and where there is nothing to draw.
        """
        from normbench.charts.marks import with_theme

        try:
            chosen = CHARTS[name]
        except UnknownName as error:
            raise ConfigError([Problem("", error.message, error.hint)]) from None
        drawn = chosen.draw(self.chart_data)
        if drawn is None:
            message = f"experiment {self.name!r} has nothing to draw for the chart {name!r}"
            raise ConfigError([Problem("", message, chosen.about)])
        return with_theme(drawn, self.chart_data, f"{chosen.title}: {self.name}")

    def require_outcomes(self) -> None:
        """Raise StoreError, with the reasons, when no run has ended that could be tabulated."""
        runs = self.reported.results.runs
        if runs["state"].isin(OUTCOME_STATES).any():
            return
        if runs.empty and self.tuned_key:
            told = f"experiment {self.name!r} still searches each norm's own best {self.tuned_key}"
            raise StoreError(told + "\n    the command that began it continues")
        raise self._no_outcome("has no finished run", runs)

    def _no_outcome(self, told: str, runs: pd.DataFrame) -> NormbenchError:
        return no_outcome(self.results, told, runs, trained=self.outcome is not None)

    def require_fairness(self) -> None:
        """Raise StoreError, naming the runs, when the norms were not compared on equal terms."""
        if not self.fairness.equal_terms:
            raise StoreError(fairness_line(self.fairness))

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
                **(self.swaps.to_dict() if self.swaps else {}),
                "own_terms": list(self.fairness.own_terms),
            },
            "convergence": records(tables.convergence),
            "gradients": records(tables.gradients),
            "comparisons": verdicts(tables.paired(all_pairs=all_pairs)),
            "targets": records(tables.by_target),
            "survival": records(tables.survival),
            "tuned": self._tuned_dict(),
        }

    def _tuned_dict(self) -> dict[str, Any] | None:
        if self.tuned_key is None:
            return None
        best = self.best
        return {
            "key": self.tuned_key,
            "chosen": records(self.choices),
            "sensitivity": records(self.sensitivity),
            "convergence": records(best.convergence) if best else [],
            "comparisons": verdicts(best.comparisons) if best else [],
        }
