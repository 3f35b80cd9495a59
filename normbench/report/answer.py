"""What an experiment says: the sentences that every output begins with, and the facts behind them.

Made here alone: the command line, ``--json``, the page and the notebook show the same. Nothing is
computed that could not be read from the comparison's tables, and nothing is said of a cause that
was not measured (``report.mechanism``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from normbench.analysis.rule import TOO_FEW, VerdictRule
from normbench.report import sentences, turns
from normbench.report.columns import Row, judged
from normbench.report.fates import caveats, fates
from normbench.report.wording import quoted
from normbench.results.experiment import ExperimentResult
from normbench.results.records import records
from normbench.results.tables import ResultTables

_FROM_CONVERGENCE = (
    *("runs", "reached", "steps_to_target", "budget_steps", "target", "val_accuracy_mean"),
    *("test_accuracy_mean", "test_accuracy_std", "train_seconds_per_step", "finished", "diverged"),
    *("failed", "interrupted", "missing", "at_chance", "never_left_chance"),
)


@dataclass(frozen=True)
class Answer:
    """An experiment's sentences and the rows they were made from.

    rule: what carries the verdicts. keys: the sweep keys. sentences: in reading order, the first
    one answers which norm to use. caveats: what to know before believing a number. rows: a row a
    sweep point and norm, the leader of each point first: the columns of ``ResultTables.best_set``,
    of the convergence table for the primary target (runs, reached, steps_to_target, budget_steps,
    target, accuracies, train_seconds_per_step, states), at_chance and never_left_chance (runs);
    after a tuning ``tuned`` (each norm's own best value) and ``shared_value`` (the judged metric at
    the configured one). exploratory: whether the rule was chosen after results had been seen.
    tuned_key: the key at whose own best value each row stands; "" where the
    rows stand at the values that the config gives.
    """

    experiment: str
    rule: VerdictRule
    keys: list[str]
    sentences: tuple[str, ...]
    caveats: tuple[str, ...]
    rows: pd.DataFrame
    tuned_key: str = ""
    order: tuple[str, ...] = ()
    exploratory: bool = False

    @property
    def best_set(self) -> list[str]:
        """The norms that may be best, of those with a result; in a sweep, at every point."""
        known = self.rows["in_set"].astype(bool) & self.rows["value"].notna()
        inside = known.groupby(self.rows["norm"], sort=False).all()
        return [str(norm) for norm, holds in inside.items() if holds]

    @property
    def leader(self) -> str | None:
        """The norm that leads, at every point; None where it changes or nothing has a result."""
        first = self.rows[(self.rows["rank"] == 0) & self.rows["value"].notna()]["norm"].unique()
        return str(first[0]) if len(first) == 1 else None

    @property
    def recommended(self) -> str | None:
        """The norm that the sentences say to use; None where they name none, or several."""
        if self.keys:
            return self.best_set[0] if len(self.best_set) == 1 else None
        return sentences.recommended(self.rows.to_dict("records"))

    @property
    def open_leader(self) -> str | None:
        """The leader, where the seeds were enough for a verdict and others may be the best too."""
        others = self.rows[(self.rows["rank"] > 0) & self.rows["value"].notna()]["verdict"]
        told = len(others) > 0 and not others.str.startswith(TOO_FEW).all()
        return self.leader if told and self.recommended is None else None

    def to_dict(self) -> dict[str, Any]:
        """The ``verdict`` object of ``--json``."""
        return {
            "metric": self.rule.metric,
            "similar_within": self.rule.similar_within,
            "exploratory": self.exploratory,
            "best_set": self.best_set,
            "leader": self.leader,
            "recommended": self.recommended,
            "tuned_key": self.tuned_key or None,
            "sentences": list(self.sentences),
            "caveats": list(self.caveats),
            "norms": records(self.rows),
        }


def answer(comparison: ExperimentResult) -> Answer:
    """What the experiment says. After a tuning, of the runs at each norm's own best value once all
    of them have ended, else of those at the shared values."""
    best, key = comparison.best, comparison.tuned_key
    own = comparison.at_own_best
    tables = best if best is not None and own else comparison.reported
    rows = _rows(tables)
    if own and key:
        rows = _beside_shared(rows, comparison)
    texts = _sentences(tables, rows)
    if key:
        how = f"each norm at its own best {key}" if own else f"{key} as configured"
        texts[0] = f"With {how}: {_lower(texts[0])}"
        if own:
            texts += _shared(comparison)
    texts += fates(tables, rows)
    return Answer(
        comparison.name,
        tables.rule,
        tables.results.keys,
        tuple(texts),
        tuple(caveats(comparison)),
        rows,
        key if own and key else "",
        tuple(comparison.reported.norms),
        bool(comparison.rule_changed),
    )


def to_dict(
    comparison: ExperimentResult, conclusion: Answer, *, all_pairs: bool = False
) -> dict[str, Any]:
    """The object that ``--json`` prints: the tables, and ``verdict``, what they say."""
    tables = ExperimentResult.to_dict(comparison, all_pairs=all_pairs)
    head = {name: tables.pop(name) for name in ("schema", "experiment", "baseline", "fairness")}
    return {**head, "verdict": conclusion.to_dict(), **tables}


def _rows(tables: ResultTables) -> pd.DataFrame:
    by = ["norm", *tables.results.keys]
    known = {_cell(row, by): row for row in tables.convergence.to_dict("records")}
    rows = []
    for row in tables.best_set.to_dict("records"):
        numbers = known.get(_cell(row, by), {})
        more = {name: numbers.get(name, math.nan) for name in _FROM_CONVERGENCE}
        rows.append({**row, **more})
    return pd.DataFrame(rows)


def _cell(row: Row, by: list[str]) -> tuple[str, ...]:
    return tuple(repr(row[name]) for name in by)


def _sentences(tables: ResultTables, rows: pd.DataFrame) -> list[str]:
    keys, rule, config = tables.results.keys, tables.rule, tables.results.config
    kernel = sentences.kernel_text(
        config.get("runtime") or {}, (config.get("training") or {}).get("precision")
    )
    judged_rows = _judged(tables, rule.metric)
    if keys:
        texts = turns.sweep(rows, keys, rule)
        texts.append(turns.against(judged_rows, tables.baseline, keys, rule.metric))
        texts.append(turns.cost(rows, kernel))
        return list(filter(None, texts))
    listed: list[Row] = rows.to_dict("records")
    texts = sentences.which(listed, rule, kernel)
    # Where the baseline leads, how the others differ from it is said already.
    leads = any(row["norm"] == tables.baseline and row["rank"] == 0 for row in listed)
    second = "" if leads else sentences.against(judged_rows, tables.baseline, rule)
    if second:
        texts.append(second)
    if not any(kernel in text for text in texts):
        texts += sentences.cost(listed, tables.baseline, kernel)
    return [*texts, *sentences.separate(listed, rule), *_taken(listed)]


def _judged(tables: ResultTables, metric: str) -> list[dict[str, Any]]:
    """The rows of the judged metric, each norm against the baseline."""
    table = tables.comparisons
    if table.empty:
        return []
    primary = table["target"].eq(tables.targets[0]) | table["target"].isna()
    return table[(table["metric"] == metric) & primary].to_dict("records")


def _taken(rows: list[Row]) -> list[str]:
    """The seeds that each norm took, where a sequential design gave them different numbers."""
    if len({row["seeds"] for row in rows}) < 2 or len({row["runs"] for row in rows}) < 2:
        return []
    told = ", ".join(f"{quoted(row['norm'])} {row['seeds']:.0f}" for row in rows)
    return [f"Seeds that each took: {told}."]


def _beside_shared(rows: pd.DataFrame, comparison: ExperimentResult) -> pd.DataFrame:
    """With each norm's own best value, and the judged metric at the configured one."""
    by = ["norm", *comparison.results.keys]
    values = {_cell(row, by): row["best"] for row in comparison.choices.to_dict("records")}
    beside = [] if comparison.shared is None else comparison.shared.best_set.to_dict("records")
    shared = {_cell(row, by): row["value"] for row in beside}
    cells = [_cell(row, by) for row in rows.to_dict("records")]
    return rows.assign(
        tuned=[values.get(cell, math.nan) for cell in cells],
        shared_value=[shared.get(cell, math.nan) for cell in cells],
    )


def _shared(comparison: ExperimentResult) -> list[str]:
    """Who leads at the value that all share, in a clause beside the own best ones."""
    key = str(comparison.tuned_key)
    if comparison.results.keys or comparison.shared is None:
        return []
    rows = comparison.shared.best_set.to_dict("records")
    known = [row for row in rows if not math.isnan(row["value"])]
    if not known:
        return []
    metric = comparison.shared.rule.metric
    leader = known[0]
    name = sentences.NOUNS[metric]
    told = f"{quoted(leader['norm'])} leads ({name} {judged(metric, leader['value'])})"
    return [f"At the shared {key} of {comparison.value(key)}, {told}."]


def _lower(text: str) -> str:
    """A sentence after a colon; labels of norms stay as they are written."""
    return text[:1].lower() + text[1:] if text.startswith(("Use ", "No ", "Nothing ")) else text
