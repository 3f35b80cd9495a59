"""The tables over one set of runs: outcomes, convergence, gradients, comparisons, the best set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis import comparison, convergence, sequential, signal, survival
from normbench.analysis.best_set import best_set
from normbench.analysis.groups import sweep_points
from normbench.analysis.rule import VerdictRule
from normbench.constants import contender
from normbench.store import Results


@dataclass(frozen=True)
class ResultTables:
    """The tables over one set of runs, each computed when first asked for."""

    results: Results
    baseline: str
    targets: list[float]
    looks: sequential.Looks | None = None  # where seeds come in steps

    @property
    def norms(self) -> list[str]:
        """The labels of the norms, in the config's order."""
        return list(dict.fromkeys(self.results.runs["norm"]))

    @cached_property
    def outcomes(self) -> pd.DataFrame:
        """One row a run and target: see ``analysis.convergence.outcomes``."""
        validation = self.results.config.get("data", {}).get("validation") or 0
        return convergence.outcomes(
            self.results.runs,
            self.results.curves,
            self.targets,
            # for runs that do not say how many images they were evaluated on; below 1 is a share
            validation_images=validation if validation >= 1 else np.nan,
        )

    @cached_property
    def by_target(self) -> pd.DataFrame:
        """The convergence table with a row for each target, and log-rank tests.

        See ``analysis.convergence.tabulate`` and ``analysis.survival.with_logrank``.
        """
        table = convergence.tabulate(self.outcomes, self.results.keys, self.norms)
        return survival.with_logrank(table, self.outcomes, self.baseline, self.results.keys)

    @property
    def convergence(self) -> pd.DataFrame:
        """The convergence table for the primary target, the first one."""
        table = self.by_target
        return table[table["target"] == self.targets[0]].reset_index(drop=True)

    @cached_property
    def survival(self) -> pd.DataFrame:
        """Kaplan-Meier curves of "not yet at the primary target", by sweep point and norm.

        norm, <keys>, step, survival, at_risk, ci_low, ci_high: see
        ``analysis.survival.kaplan_meier``.
        """
        known = self.outcomes[self.outcomes["target"] == self.targets[0]]
        known = known[known["reached"] | known["censored"]]
        columns = ["norm", *self.results.keys]
        curves = [
            survival.kaplan_meier(part["restricted_steps"], part["reached"]).assign(
                **dict(zip(columns, group, strict=True))
            )
            for group, part in known.groupby(columns, sort=False, dropna=False)
        ]
        if not curves:
            return pd.DataFrame()
        table = pd.concat(curves, ignore_index=True)
        return table[[*columns, *(name for name in table.columns if name not in columns)]]

    @cached_property
    def gradients(self) -> pd.DataFrame:
        """The gradient table: see ``analysis.signal.gradient_table``. Empty without probes."""
        if self.results.probes.empty:
            return pd.DataFrame()
        return signal.gradient_table(
            self.results.runs, self.results.probes, self.results.keys, self.norms
        )

    @property
    def rule(self) -> VerdictRule:
        """The metric that carries the verdicts, and what counts as similar, by the config."""
        return VerdictRule.of(self.results.config.get("verdict"))

    @cached_property
    def best_set(self) -> pd.DataFrame:
        """The norms that may be best, at the primary target: see ``analysis.best_set``."""
        return best_set(
            self.primary,
            self.norms,
            self.results.keys,
            rule=self.rule,
            looks=self.looks,
            order=self.order,
        )

    @property
    def primary(self) -> pd.DataFrame:
        """The outcomes for the primary target."""
        return self.outcomes[self.outcomes["target"] == self.targets[0]]

    @property
    def order(self) -> list[int] | None:
        """The seeds in the order in which they are trained, where the looks go by it."""
        return list(range(self.looks.seeds[-1])) if self.looks else None

    @cached_property
    def races(self) -> dict[tuple[Any, ...], sequential.Race]:
        """Values of the sweep keys -> where the sequential comparison stands there.

        Empty where the seeds do not come in steps.
        """
        if self.looks is None:
            return {}
        code, points = sweep_points(self.primary, self.results.keys)
        order = range(self.looks.seeds[-1])
        return {
            tuple(values): sequential.race(
                self.primary[code == index], self.norms, self.rule, self.looks, order, len(points)
            )
            for index, values in enumerate(points.to_numpy(dtype=object).tolist())
        }

    @cached_property
    def comparisons(self) -> pd.DataFrame:
        """Every norm against the baseline: see ``analysis.comparison.compare``."""
        return self.paired()

    def paired(
        self,
        *,
        all_pairs: bool = False,
        baseline: str | None = None,
        metric: str | None = None,
        norms: Sequence[str] | None = None,
    ) -> pd.DataFrame:
        """Every norm against the baseline, or every two norms; time to target at each target.

        The verdicts are at the primary target; the others are exploratory. baseline: another one
        than the config's; raises ConfigError for an unknown norm. metric: judge by another one,
        with that metric's own margin. norms: only these, and Holm over these alone.
        """
        rule = (
            self.rule if metric in (None, self.rule.metric) else VerdictRule.of({"metric": metric})
        )
        parts = []
        for index, target in enumerate(self.targets):
            table = comparison.compare(
                self.outcomes[self.outcomes["target"] == target],
                self.norms if norms is None else norms,
                baseline or self.baseline,
                self.results.keys,
                rule=None if index else rule,
                # Only the time to target differs from one target to the next.
                metrics=comparison.DEFAULT_METRICS[: 1 if index else None],
                all_pairs=all_pairs,
                looks=self.looks.seeds if self.looks else (),
            )
            parts.append(table.assign(target=target))
        return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True)
class ContenderTables(ResultTables):
    """The tables of norms that race at several values of a tuned key each.

    What may be best is found among all contenders, a norm at a value each (``pool``), so its 5 %
    covers that the better value of a norm was not known beforehand: a norm is out only when all of
    its contenders are. Every other table is of one contender a norm, the one in front.
    """

    pool: ResultTables = field(kw_only=True)

    @cached_property
    def best_set(self) -> pd.DataFrame:
        """See ``ResultTables.best_set``: each norm by its contender in front, with the p-value of
        the last of them to go, so that norms whose numbers stand together may be compared."""
        return _in_front(self.pool)[0]

    @property
    def races(self) -> dict[tuple[Any, ...], sequential.Race]:
        """See ``ResultTables.races``: of contenders, by their names (``conventions.contender``).

        Where all that still race are of one norm there is nothing more to find out.
        """
        runs = self.pool.results.runs
        norm = dict(zip(runs["norm"], runs["of"], strict=True))
        return {at: _of_norms(race, norm) for at, race in self.pool.races.items()}


def _of_norms(race: sequential.Race, norm: Mapping[str, str]) -> sequential.Race:
    """A race of contenders, ended where one norm is left. norm: whose contender each is."""
    if race.ended or race.look < 0 or len({norm[name] for name in race.racing}) > 1:
        return race
    # What is needed is never less than what there is: see ``execution.experiment.needed``.
    return replace(race, need={**race.need, **dict.fromkeys(race.racing, 0)}, ended="one left")


def contenders(tables: ResultTables) -> ContenderTables:
    """The tables over runs at own best values, of which a norm may have several."""
    runs = tables.results.runs
    named = [contender(*pair) for pair in zip(runs["norm"], runs["tuned"], strict=True)]
    whole = runs.assign(norm=np.array(named, dtype=object), of=runs["norm"])
    pool = ResultTables(replace(tables.results, runs=whole), "", tables.targets, tables.looks)
    if runs.empty:
        return ContenderTables(
            tables.results, tables.baseline, tables.targets, tables.looks, pool=pool
        )
    front = _in_front(pool)[1]
    cells = zip(*(whole[name] for name in ("norm", *tables.results.keys)), strict=True)
    mine = tables.results.only(pd.Series([cell in front for cell in cells]))
    return ContenderTables(mine, tables.baseline, tables.targets, tables.looks, pool=pool)


def _in_front(pool: ResultTables) -> tuple[pd.DataFrame, set[tuple[Any, ...]]]:
    """The best set with one row a norm, and (contender, <keys>) of each of them.

    In front is the leader, else of those that may be best the one with the best value, else of all.
    """
    keys, runs = pool.results.keys, pool.results.runs
    norm = dict(zip(runs["norm"], runs["of"], strict=True))
    table = pool.best_set.assign(of=pool.best_set["norm"].map(norm))
    by = [*keys, "of"]
    table["out"] = ~table["in_set"].astype(bool)
    table["p_value"] = table.groupby(by, dropna=False)["p_value"].transform("max")
    front = table.sort_values(["out", "rank"], kind="stable").drop_duplicates(by)
    front = front.loc[[row for row in table.index if row in front.index]]
    chosen = set(zip(*(front[name] for name in ("norm", *keys)), strict=True))
    rows = front.assign(norm=front["of"])
    rows["rank"] = rows.groupby(keys, dropna=False).cumcount() if keys else range(len(rows))
    return rows.drop(columns=["of", "out"]).reset_index(drop=True), chosen


def looks_of(config: Mapping[str, Any]) -> sequential.Looks | None:
    """The looks of a resolved config; None where its seeds are fixed."""
    seeds = config.get("seeds")
    if not isinstance(seeds, Mapping):
        return None
    return sequential.sequential(seeds["from"], seeds["to"], seeds["step"])
