"""What a sweep says: which norms serve at every value, and where the others begin to lose."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from normbench.analysis.rule import LEADER, SIMILAR, TOO_FEW, UNDECIDED, WORSE, VerdictRule
from normbench.report.columns import Row, judged, seconds, size
from normbench.report.sentences import NOUNS
from normbench.report.wording import counted, joined, listed, norms, quoted, short

MOST_PARTS = 4  # combinations of further keys that are told one by one


def spread_key(rows: pd.DataFrame, keys: Sequence[str]) -> str:
    """The key whose values are laid out side by side: the one with most values, of equals the
    first."""
    return max(keys, key=lambda key: rows[key].map(repr).nunique())


def parts(rows: pd.DataFrame, keys: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """The rows by the values of the keys that are not laid out: (how they read, rows).

    One part with an empty text where one key is swept.
    """
    others = [key for key in keys if key != spread_key(rows, keys)]
    if not others:
        return [("", rows)]
    texts = rows[others].apply(
        lambda row: ", ".join(f"{short(key)} {row[key]}" for key in others), axis=1
    )
    return [(str(text), part) for text, part in rows.groupby(texts, sort=False)]


def sweep(rows: pd.DataFrame, keys: Sequence[str], rule: VerdictRule) -> list[str]:
    """The sentences of a sweep, the answer first. rows: ``Answer.rows``."""
    by = spread_key(rows, keys)
    sentences = []
    shown = parts(rows, keys)
    for text, part in shown[:MOST_PARTS]:
        lead = f"At {text}: " if text else ""
        first, *rest = _part(part, by, rule)
        sentences += [f"{lead}{first}", *rest]
    if len(shown) > MOST_PARTS:
        sentences.append(f"{len(shown) - MOST_PARTS} more combinations stand in the tables.")
    return sentences


def against(
    comparisons: Sequence[Mapping[str, Any]], baseline: str, keys: Sequence[str], metric: str
) -> str:
    """Whether a norm helps at all, at how many points of the sweep: one sentence, or nothing."""
    told: dict[str, dict[str, list[Any]]] = {}
    for row in comparisons:
        word = next(
            (w for w in (TOO_FEW, UNDECIDED) if row["verdict"].startswith(w)), row["verdict"]
        )
        if row["pairs"]:
            value = ", ".join(str(row[key]) for key in keys)
            told.setdefault(row["norm"], {}).setdefault(word, []).append(value)
    if not told or all(set(words) <= {TOO_FEW} for words in told.values()):
        return ""
    groups: dict[str, list[str]] = {}
    for norm, words in told.items():
        total = sum(map(len, words.values()))
        text = ", ".join(
            f"{word} everywhere" if len(at) == total else f"{word} at {listed(at)}"
            for word, at in words.items()
        )
        groups.setdefault(text, []).append(norm)
    parts = [
        f"{norms(names)} {'is' if len(names) == 1 else 'are'} {t}" for t, names in groups.items()
    ]
    effects = [row["detectable"] for row in comparisons if row["verdict"].startswith(UNDECIDED)]
    effects = [value for value in effects if 0 < value < math.inf]
    power = (
        f" (undecided: 80 % power would have found {size(metric, max(effects, default=0))} or more)"
    )
    return f"Against the baseline {quoted(baseline)}: {'; '.join(parts)}{power if effects else ''}."


def cost(rows: pd.DataFrame, kernel: str) -> str:
    """What a step costs under the norms that may be best at every point: one sentence, or nothing.

    The lowest and the highest median over the points, which may be networks of any size.
    """
    parts = []
    for norm, own in _by_norm(rows):
        times = own["train_seconds_per_step"]
        if not all(map(_may_be_best, own.to_dict("records"))) or not (times > 0).all():
            continue
        low, high = seconds(times.min()), seconds(times.max())
        parts.append(f"{low if low == high else f'{low} to {high}'} under {quoted(norm)}")
    return f"A step takes {joined(parts)} ({kernel})." if parts else ""


def _part(rows: pd.DataFrame, by: str, rule: VerdictRule) -> list[str]:
    values = list(dict.fromkeys(rows[by]))
    table = {
        norm: dict(zip(own[by], own.to_dict("records"), strict=True))
        for norm, own in _by_norm(rows)
    }
    known = rows[rows["value"].notna()]
    if known.empty:
        return ["No run has a result yet."]
    noun = NOUNS[rule.metric]
    seeds = counted(known["seeds"].max(), "seed")
    leaders = _leaders(known, by)
    contested = known[known["verdict"] != LEADER]
    if len(contested) and contested["verdict"].str.startswith(TOO_FEW).all():
        need = contested["verdict"].iloc[0].partition("(")[2].rstrip(")")
        return [
            f"{leaders} in {noun}, but {seeds} a point are too few to tell norms apart ({need}): "
            "what the table shows may be chance."
        ]
    everywhere = [
        norm
        for norm, own in table.items()
        if all(value in own and _may_be_best(own[value]) for value in values)
    ]
    # "alone at each value" would say that no other may be the best at any of them.
    number = "both" if len(values) == 2 else f"all {len(values)}"
    where = f"at {number} values of {by} ({noun}, {seeds})"
    undecided = known["verdict"].str.startswith(UNDECIDED).any()
    if len(everywhere) == len(table) > 1 and undecided:
        first = (
            f"{norms(everywhere)} may each be the best {where}: the seeds do not tell them apart."
        )
    elif everywhere:
        only = "it is the only one that" if len(everywhere) == 1 else "they alone"
        first = f"Use {' or '.join(map(quoted, everywhere))}: {only} may be the best {where}."
    else:
        first = f"No norm may be the best {where}: {leaders}."
    turns = _turns(table, values, rule)
    return [first, *([f"{turns}."] if turns else [])]


def _may_be_best(row: Row) -> bool:
    """In the best set, or out of it for a difference too small to matter."""
    return bool(row["in_set"] or row["verdict"] == SIMILAR) and not math.isnan(row["value"])


def _by_norm(rows: pd.DataFrame) -> Any:
    return rows.groupby("norm", sort=False)


def _leaders(rows: pd.DataFrame, by: str) -> str:
    """batch leads at 16 and 32; layer leads at 2."""
    first = rows[rows["rank"] == 0]
    told = [f"{quoted(norm)} leads at {listed(list(own[by]))}" for norm, own in _by_norm(first)]
    return "; ".join(told)


def _turns(table: dict[str, dict[Any, Row]], values: Sequence[Any], rule: VerdictRule) -> str:
    """Where each norm begins to lose, those that hold named last."""
    told: list[str] = []
    holds: list[str] = []
    level: list[str] = []
    lost: list[str] = []
    for norm, own in table.items():
        known = [v for v in values if v in own and not math.isnan(own[v]["value"])]
        down = [v for v in known if own[v]["verdict"] == WORSE]
        if not known:
            continue
        if not down:
            good = all(own[v]["verdict"] in (LEADER, SIMILAR) for v in known)
            (holds if good else level).append(norm)
        elif len(down) == len(known):
            lost.append(norm)
        else:
            told.append(f"{quoted(norm)} {_where(own, known, down, rule)}")
    if not (told or lost):
        return ""
    if holds:
        told.append(f"{norms(holds)} {'holds' if len(holds) == 1 else 'hold'}")
    if level:
        told.append(
            f"{norms(level)} {'is' if len(level) == 1 else 'are'} nowhere shown to be worse"
        )
    if lost:
        told.append(f"{norms(lost)} {'loses' if len(lost) == 1 else 'lose'} at every value")
    return "; ".join(told)


def _where(own: dict[Any, Row], known: list[Any], down: list[Any], rule: VerdictRule) -> str:
    """loses below 16: 84.5 at 4, 17.2 at 2."""

    def value(at: Any) -> str:
        return f"{judged(rule.metric, own[at]['value'], own[at]['budget_steps'])} at {at}"

    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in known)
    count = len(down)
    if numbers and down == known[:count]:
        return f"loses below {known[count]}: {', '.join(map(value, reversed(down)))}"
    if numbers and down == known[-count:]:
        return f"loses above {known[-count - 1]}: {', '.join(map(value, down))}"
    return f"loses at {joined(map(str, down))}: {', '.join(map(value, down))}"
