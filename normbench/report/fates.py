"""What became of runs that did not simply learn, and why, as far as that was measured."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from normbench.analysis.chance import at_chance
from normbench.constants import OUTCOME_STATES
from normbench.report.columns import Row, percent
from normbench.report.mechanism import why
from normbench.report.turns import spread_key
from normbench.report.wording import counted, joined, listed, quoted, short
from normbench.results.experiment import ExperimentResult
from normbench.results.tables import ResultTables
from normbench.store import Results

REASON_LENGTH = 80


def fates(tables: ResultTables, rows: pd.DataFrame) -> list[str]:
    """A sentence a norm on runs that failed, diverged or learned nothing. rows: ``Answer.rows``."""
    if tables.results.keys:
        return _in_a_sweep(tables, rows)
    outcomes = tables.outcomes[tables.outcomes["target"] == tables.targets[0]]
    sentences = []
    for row in rows.to_dict("records"):
        own = outcomes[outcomes["norm"] == row["norm"]]
        if parts := _one(tables, row, own):
            sentences.append(f"{quoted(row['norm'])} {'; it '.join(parts)}.")
    return sentences


def _one(tables: ResultTables, row: Row, own: pd.DataFrame) -> list[str]:
    result = own["state"].isin(OUTCOME_STATES)
    known = int(result.sum())
    never = own[own["never_left_chance"]]
    chance = own[own["at_chance"] & ~own["never_left_chance"]]
    diverged, failed = own[own["state"] == "diverged"], own[own["state"] == "failed"]
    parts = []
    if len(never):
        told = f"never left chance in {len(never)} of {counted(known, 'run')}"
        parts.append(_explained(told, tables, row, len(never), known))
    if len(chance):
        parts.append(
            f"fell back to chance in {len(chance)} of {counted(known, 'run')} ({_seeds(chance)})"
        )
    if len(diverged):
        told = (
            f"diverged in {len(diverged)} of {counted(known, 'run')} ({_seeds(diverged)}), counted "
            "as chance"
        )
        parts.append(_explained(told, tables, row, len(diverged), known, diverged=True))
    if len(failed):
        reasons = list(dict.fromkeys(tables.results.reasons.get(run, "") for run in failed["run"]))
        why_ = "; ".join(_in_short(reason) for reason in reasons[:2] if reason)
        if not known and len(failed) == len(own):
            parts.append(f"has no result: all {counted(len(own), 'run')} failed ({why_})")
        else:
            told = f"failed in {len(failed)} of {counted(len(own), 'run')}"
            parts.append(f"{told} ({_seeds(failed)}: {why_}), which are in no mean")
    return parts


def _explained(
    told: str, tables: ResultTables, row: Row, count: int, known: int, *, diverged: bool = False
) -> str:
    """With the mechanism, where most runs met this fate."""
    reason = why(tables, row, diverged=diverged) if 2 * count >= known else ""
    return f"{told}: {reason}" if reason else told


def _in_short(reason: str) -> str:
    """The first line of a reason, which may be a page long."""
    line = reason.strip().splitlines()[0]
    return line if len(line) <= REASON_LENGTH else f"{line[:REASON_LENGTH]}…"


def _seeds(runs: pd.DataFrame) -> str:
    seeds = sorted(runs["seed"])
    return f"seed{'' if len(seeds) == 1 else 's'} {listed(seeds)}"


def _in_a_sweep(tables: ResultTables, rows: pd.DataFrame) -> list[str]:
    """Per norm, the points at which most of its runs learned nothing or diverged."""
    keys = tables.results.keys
    by = spread_key(rows, keys)
    sentences = []
    for norm, own in rows.groupby("norm", sort=False):
        parts = []
        for column, text in (("never_left_chance", "stayed at chance"), ("diverged", "diverged")):
            known = own["finished"] + own["diverged"]
            most = own[(own[column] > 0) & (2 * own[column] >= known)]
            if len(most):
                row = most.to_dict("records")[0]
                reason = why(tables, row, diverged=column == "diverged")
                where = _where(most, own, keys, by)
                parts.append(f"{text} at {where}" + (f": {reason}" if reason else ""))
        if parts:
            sentences.append(f"{quoted(str(norm))} {'; it '.join(parts)}.")
    return sentences


def _where(most: pd.DataFrame, own: pd.DataFrame, keys: Sequence[str], by: str) -> str:
    """batch size 2 and 4, or every batch size; with several keys each point in full."""
    if len(most) == len(own):
        return f"every {short(by)}" if len(keys) == 1 else f"all {len(own)} points"
    rows = most.to_dict("records")
    if len(keys) == 1:
        return f"{short(by)} {listed([row[by] for row in rows])}"
    return listed(["/".join(f"{short(key)} {row[key]}" for key in keys) for row in rows])


_MACHINE = ("system", "processor", "cores")


def mixed_environments(results: Results) -> list[str]:
    """What runs that are pooled in one table do not share: versions, machine, data."""
    known: dict[str, dict[str, int]] = {}
    for here in results.environments.values():
        facts = {"normbench": here.get("normbench"), "python": here.get("python")}
        facts |= here.get("packages") or {}
        facts["machine"] = ", ".join(str(here[key]) for key in _MACHINE if here.get(key))
        facts["data"] = str(here["data"].get("fingerprint"))[:8]
        for name, value in facts.items():
            if value:
                counts = known.setdefault(name, {})
                counts[str(value)] = counts.get(str(value), 0) + 1
    mixed = {name: counts for name, counts in known.items() if len(counts) > 1}
    if not mixed:
        return []
    told = "; ".join(
        f"{name}: " + ", ".join(f"{value} in {counted(n, 'run')}" for value, n in counts.items())
        for name, counts in mixed.items()
    )
    return [
        f"The runs do not come from one environment ({told}). Numbers that differ in their last "
        "digits between machines and versions are pooled here, and so are times."
    ]


def damages(results: Results) -> list[str]:
    """What is not as it was written, and what cannot be known to be; often nothing."""
    sentences = [f"{note}." for note in results.notes]
    damaged = list(dict.fromkeys(results.runs.loc[results.runs["state"] == "damaged", "run"]))
    if damaged:
        more = f", and {len(damaged) - 1} more" if len(damaged) > 1 else ""
        sentences.append(
            f"{results.reasons[damaged[0]]}{more}: a damaged run counts as missing; "
            "`normbench train` with its config takes it up again."
        )
    if results.changed:
        count = len(results.changed)
        parts = dict.fromkeys(part for own in results.changed.values() for part in own)
        told = joined(list(parts)[:3])
        verb = "was" if count == 1 else "were"
        sentences.append(
            f"{counted(count, 'run')} {verb} continued on other ground ({told}): such numbers are "
            "those of neither."
        )
    if results.unsealed:
        count = len(results.unsealed)
        verb = "was" if count == 1 else "were"
        sentences.append(
            f"{counted(count, 'run')} {verb} trained by an earlier normbench, which kept no sums "
            "of its files: whether they are as they were written cannot be known."
        )
    return sentences


def _target_at_chance(comparison: ExperimentResult, runs: pd.DataFrame) -> list[str]:
    """That the target is one which guessing reaches."""
    target = comparison.targets[0]
    known = runs[runs["state"].isin(OUTCOME_STATES)]
    guessed = at_chance(target, known["num_classes"], known["validation_images"])
    if not len(known) or not guessed.all():
        return []
    return [f"Guessing may reach the target of {percent(target)} %: steps to it say nothing."]


def caveats(comparison: ExperimentResult) -> list[str]:
    """What a reader must know before believing a number; often nothing."""
    # One run may be planned in two roles.
    runs = comparison.results.runs.drop_duplicates("run")
    sentences = []
    if not comparison.fairness.equal_terms:
        sentences.append("The norms were not compared on equal terms: see the line on fairness.")
    sentences += filter(None, [comparison.peeked, comparison.rule_changed])
    sentences += mixed_environments(comparison.results)
    lost = runs[~runs["state"].isin(OUTCOME_STATES)]
    if len(lost):
        words = {"missing": "not run"}
        states = [f"{n} {words.get(s, s)}" for s, n in lost["state"].value_counts().items()]
        verb = "has" if len(lost) == 1 else "have"
        text = f"{len(lost)} of {len(runs)} runs {verb} no result ({joined(states)})"
        failed = lost.loc[lost["state"] == "failed", "run"]
        if len(failed):
            path = comparison.results.path / failed.iloc[0] / "manifest.json"
            text += f'; where it broke stands under "details" in {path}'
        sentences.append(f"{text}.")
    sentences += damages(comparison.results)
    sentences += _target_at_chance(comparison, runs)
    if comparison.tuned_key:
        ends = comparison.choices[comparison.choices["at_edge"] != ""]
        told = [
            f"{quoted(str(norm))} ({' and '.join(dict.fromkeys(own['at_edge']))})"
            for norm, own in ends.groupby("norm", sort=False)
        ]
        if told:
            sentences.append(
                f"The best {comparison.tuned_key} lies at an end of the grid for {joined(told)}: "
                "the true best may lie outside."
            )
    return sentences
