"""What an experiment says, in two sentences of plain words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

from normbench.analysis.groups import OUTCOME_STATES
from normbench.comparison import Comparison, Tables
from normbench.report.columns import Row, count, percent

ENDED = (*OUTCOME_STATES, "failed")


def verdict(comparison: Comparison) -> tuple[str, str]:
    """Which norm was fastest to the target, and what of that is more than chance.

    With a tuning, of the runs at each norm's own best value once all of them have ended.
    """
    best = comparison.best
    done = best is not None and best.results.runs["state"].isin(ENDED).all()
    tables = best if best is not None and done else comparison.reported
    first, second = _fastest(tables), _evidence(tables)
    if key := comparison.tuned_key:
        how = f"each norm at its own best {key}" if done else f"{key} as configured"
        first = f"With {how}, {_lower(first)}"
    return first, second


def caveats(comparison: Comparison) -> list[str]:
    """What a reader must know before believing a number; often nothing."""
    # One run may be planned in two roles.
    runs = comparison.results.runs.drop_duplicates("run")
    lost = runs.loc[~runs["state"].isin(OUTCOME_STATES), "state"]
    found = []
    if len(lost):
        words = {"missing": "not run"}
        states = [f"{n} {words.get(s, s)}" for s, n in lost.value_counts().items()]
        verb = "has" if len(lost) == 1 else "have"
        found.append(
            f"{len(lost)} of {len(runs)} runs {verb} no result ({joined(states)}); they are "
            "counted in the tables and stand for nothing else."
        )
    diverged = int((comparison.reported.results.runs["state"] == "diverged").sum())
    if diverged:
        found.append(
            f"{diverged} of {len(comparison.reported.results.runs)} reported runs diverged; "
            "that is a result, and counts as chance accuracy and as a miss of the target."
        )
    for row in comparison.choices.to_dict("records") if comparison.tuned_key else ():
        if row["at_edge"]:
            found.append(
                f"The best {comparison.tuned_key} of {quoted(row['norm'])} lies at the "
                f"{row['at_edge']} end of the grid: the true best may lie outside."
            )
    return found


def _fastest(tables: Tables) -> str:
    table, keys = tables.convergence, tables.results.keys
    target = f"{percent(tables.targets[0])} % validation accuracy"
    if not keys:
        return _fastest_at_one_point(table, target)
    wins = dict.fromkeys(tables.norms, 0)
    points = 0
    for _, part in table.groupby(keys, sort=False, dropna=False):
        points += 1
        steps = part["steps_to_target"]
        for norm in part["norm"][np.isfinite(steps) & (steps == steps.min())]:
            wins[norm] += 1
    unknown = table.loc[table["steps_to_target"].isna(), "norm"].value_counts(sort=False)
    open_ = "".join(
        f"; no run of {quoted(norm)} has a result yet at {n} of them" for norm, n in unknown.items()
    )
    told = [f"{quoted(norm)} at {n}" for norm, n in sorted(wins.items(), key=lambda w: -w[1]) if n]
    if not told:
        return (
            f"At none of {points} sweep points did any norm reach {target} in more than half of "
            f"its runs{open_}."
        )
    return (
        f"Of {points} sweep points, fastest to {target} (in the median) was {joined(told)}{open_}."
    )


def _fastest_at_one_point(table: pd.DataFrame, target: str) -> str:
    steps = dict(zip(table["norm"], table["steps_to_target"], strict=True))
    share = {row["norm"]: _share(row) for row in table.to_dict("records")}
    finite = sorted({value for value in steps.values() if np.isfinite(value)})
    never = [norm for norm in steps if np.isposinf(steps[norm])]
    unknown = [norm for norm in steps if np.isnan(steps[norm])]
    open_ = f"; no run of {joined(map(quoted, unknown))} has a result yet" if unknown else ""
    if not finite and not never:
        return "No run has a result yet."
    if not finite:
        return (
            f"No norm reached {target} in more than half of its runs "
            f"({', '.join(f'{quoted(norm)}: {share[norm]}' for norm in never)}){open_}."
        )
    fastest = [norm for norm in steps if steps[norm] == finite[0]]
    runs = joined(list(dict.fromkeys(share[norm] for norm in fastest)))
    text = f"{joined(map(quoted, fastest))} reached {target} first, "
    text += f"in a median of {count(finite[0])} steps ({runs})"
    rest = [norm for norm in steps if norm not in (*fastest, *never, *unknown)]
    if rest:
        text += f"; {joined([f'{quoted(norm)} took {count(steps[norm])}' for norm in rest])}"
    if never:
        missed = joined(f"{quoted(norm)} ({share[norm]})" for norm in never)
        text += f"; half or more of the runs missed it under {missed}"
    return f"{text}{open_}."


def _share(row: Row) -> str:
    """How many runs reached the target, of those that have a result."""
    known = row["finished"] + row["diverged"]
    return f"{row['reached']} of {known} runs{' with a result' if known < row['runs'] else ''}"


def _evidence(tables: Tables) -> str:
    """What the paired tests say of the metric that carries the verdict."""
    table = tables.comparisons
    if table.empty:
        return "There is one norm only, so nothing is compared."
    table = table[table["target"] == tables.targets[0]]
    metric = tables.rule.metric
    table = table[table["metric"] == metric]
    words = {"steps_to_target": "steps to target", "auc": "area under the validation curve"}
    what = words.get(metric, metric)
    pairs = f"{count(table['pairs'].min())} to {count(table['pairs'].max())}"
    pairs = count(table["pairs"].max()) if table["pairs"].nunique() == 1 else pairs
    lead = f"Against {quoted(tables.baseline)}, paired by seed ({pairs} pairs, {what})"
    if table["verdict"].str.startswith("too few seeds").all():
        need = table["verdict"].iloc[0].partition("(")[2].rstrip(")")
        return (
            f"{lead}, there are too few seeds for any verdict ({need}): what the table shows may "
            "be chance."
        )
    if tables.results.keys:
        return f"{lead}, {_by_point(table)}."
    parts = []
    for word, norms in table.groupby("verdict", sort=False)["norm"]:
        parts.append(_said(str(word), [quoted(norm) for norm in norms]))
    return f"{lead}, {joined(parts)}."


def _said(word: str, norms: Sequence[str]) -> str:
    be = "is" if len(norms) == 1 else "are"
    if word in ("better", "worse"):
        return f"{joined(norms)} {be} {word}"
    if word.startswith("too few"):
        return f"there are {word} for {joined(norms)}"
    return f"{joined(norms)} {be} {word}"


def _by_point(table: pd.DataFrame) -> str:
    parts = []
    for norm, own in table.groupby("norm", sort=False):
        words = own["verdict"].str.replace(r" \(.*", "", regex=True)
        told = [f"{word} at {n}" for word, n in words.value_counts().items()]
        parts.append(f"{quoted(norm)}: {', '.join(told)} of {len(own)} sweep points")
    return "; ".join(parts)


def quoted(norm: str) -> str:
    """The label as a sentence can bear it: none would read as nobody."""
    return f"“{norm}”" if norm == "none" else norm


def joined(parts: Iterable[str]) -> str:
    """a, b and c."""
    names = list(parts)
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:] if text.startswith(("No ", "Of ", "At ")) else text
