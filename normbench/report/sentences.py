"""What one sweep point says, in plain sentences: which norm, how sure, at what cost, what is open.

Every function takes rows of ``Answer.rows`` as mappings, the leader first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from normbench.analysis.rule import BETTER, SIMILAR, TOO_FEW, UNDECIDED, WORSE, VerdictRule
from normbench.report.columns import Row, count, interval_end, judged, percent, seconds, size
from normbench.report.wording import counted, joined, norms, quoted

Rows = Sequence[Row]

NOUNS = {
    "auc": "AUC",
    "val_accuracy": "validation accuracy",
    "test_accuracy": "test accuracy",
    "steps_to_target": "steps to the target",
}
SAME_COST = 0.05  # times a step that differ by less than this share are told as the same
MOST_SEEDS = 1000  # more than this would not be trained


def which(rows: Rows, rule: VerdictRule, kernel: str) -> list[str]:
    """Which norm to use, how far ahead it is, and what else may be best."""
    known = [row for row in rows if not math.isnan(row["value"])]
    if not known:
        return ["No run has a result yet."]
    leader, others = known[0], known[1:]
    name = quoted(leader["norm"])
    if len(rows) == 1:
        return [f"{name} has {_value(leader, rule)}; with one norm nothing is compared."]
    if not others:
        return [f"{name} has {_value(leader, rule)}; no other norm has a result."]
    if not any(map(_learned, known)):
        runs = f"of all {sum(map(_ended, known)):.0f} runs, none learned anything"
        return [f"Nothing to choose from: {runs}, so what the table shows is chance."]
    if all(row["verdict"].startswith(TOO_FEW) for row in others):
        need = others[0]["verdict"].partition("(")[2].rstrip(")")
        return [
            f"{name} leads with {_value(leader, rule)}, but {_seeds(known)} "
            f"{'is' if _seeds(known) == '1 seed' else 'are'} too few to tell norms apart "
            f"({need}): what the table shows may be chance."
        ]
    # A norm that was eliminated for a difference too small to matter is as good as the leader.
    inside = [row for row in others if row["in_set"] or row["verdict"] == SIMILAR]
    worse = [row for row in others if row["verdict"] == WORSE]
    if not inside:
        second = min(others, key=lambda row: abs(row["difference"]))
        return [_alone(leader, second, rule), *_behind(name, worse, second, rule)]
    if all(row["verdict"] == SIMILAR for row in inside):
        first = _similar([leader, *inside], rule, kernel)
    else:
        first = _open_set(leader, inside, rule)
    return [first, *_behind(name, worse, None, rule)]


def _ended(row: Row) -> float:
    """Its runs that have a result."""
    return float(row.get("finished", 0) + row.get("diverged", 0))


def _learned(row: Row) -> bool:
    """Whether any of its runs did not diverge and left chance; so where that is not known."""
    lost = row.get("never_left_chance", 0) + row.get("diverged", 0)
    return not (0 < _ended(row) <= lost)


def recommended(rows: Rows) -> str | None:
    """The norm that ``which`` says to use; None where it says no more than which may be best."""
    known = [row for row in rows if not math.isnan(row["value"])]
    others = known[1:]
    if not any(map(_learned, known)) or not others:
        return None
    if all(row["verdict"].startswith(TOO_FEW) for row in others):
        return None
    inside = [row for row in others if row["in_set"] or row["verdict"] == SIMILAR]
    if any(row["verdict"] != SIMILAR for row in inside):
        return None
    chosen = _cheapest([known[0], *inside]) if inside else known[0]
    return str(chosen["norm"])


def _alone(leader: Row, second: Row, rule: VerdictRule) -> str:
    lead = f"Use {quoted(leader['norm'])}: {_value(leader, rule)}, {_ahead(second, rule)}"
    both = _seeds([leader, second])
    return f"{lead} {quoted(second['norm'])}, the next{_span(second, rule)}, at {both}."


def _ahead(row: Row, rule: VerdictRule) -> str:
    """How far the leader is ahead of this norm."""
    if math.isinf(row["difference"]):
        return "ahead of (in most seeds it missed the target)"
    word = "before" if rule.metric == "steps_to_target" else "above"
    return f"{size(rule.metric, row['difference'])} {word}"


def _span(row: Row, rule: VerdictRule) -> str:
    """The interval of how far the leader is ahead, in brackets; or why there is none."""
    if math.isnan(row["ci_low"]) or math.isnan(row["ci_high"]):
        return f" (no interval: {row['interval']})" if row["interval"] else ""
    kind = "unadjusted " if row["interval"] == "unadjusted" else ""
    return f" (95 % {kind}interval {_ahead_interval(row, rule)})"


def _ahead_interval(row: Row, rule: VerdictRule) -> str:
    """The row's difference is norm minus leader: turned so that ahead is positive."""
    low, high = row["ci_low"], row["ci_high"]
    if rule.metric != "steps_to_target":
        low, high = -high, -low
    ends = [interval_end(rule.metric, low, unit=False), interval_end(rule.metric, high)]
    return " to ".join(end.removeprefix("+") for end in ends)


def _behind(leader: str, worse: Rows, told: Row | None, rule: VerdictRule) -> list[str]:
    """The norms that are worse than the leader, by how much; ``told`` was told before."""
    rest = [row for row in worse if row is not told]
    if not rest:
        return []
    parts = []
    for row in rest:
        span = _ahead_interval(row, rule) if math.isfinite(row["ci_low"]) else ""
        size_ = size(rule.metric, row["difference"])
        by = " in most seeds" if math.isinf(row["difference"]) else f" by {size_}"
        parts.append(f"{quoted(row['norm'])}{by}" + (f" ({span})" if span else ""))
    return [f"{'Also worse' if told else 'Worse'} than {leader}: {', '.join(parts)}."]


def _cheapest(inside: Rows) -> Row:
    """The leader, where its steps cost no more than those of the cheapest, or are not known."""
    leader = inside[0]
    if any(_time(row) == 0 for row in inside):
        return leader
    least = min(inside, key=_time)
    return leader if _time(leader) <= (1 + SAME_COST) * _time(least) else least


def _similar(inside: Rows, rule: VerdictRule, kernel: str) -> str:
    """All in the set are similar to the leader: the one to use is the cheapest."""
    timed = all(_time(row) > 0 for row in inside)
    chosen = _cheapest(inside)
    margin = _margin(rule)
    names = norms(row["norm"] for row in inside)
    text = (
        f"Use {quoted(chosen['norm'])}: {names} are similar in {NOUNS[rule.metric]} "
        f"({_values(inside, rule)}; all within {margin} of the leader, at {_seeds(inside)})"
    )
    if not timed:
        return f"{text}, and it leads."
    if chosen is inside[0]:
        return (
            f"{text}; it leads, and none is cheaper by more than 5 % ({_times(inside)}; {kernel})."
        )
    return f"{text}, and it is the cheapest: {_times(inside, chosen)} ({kernel})."


def _open_set(leader: Row, inside: Rows, rule: VerdictRule) -> str:
    """Some in the set are neither worse than nor similar to the leader."""
    every = [leader, *inside]
    similar = [row["norm"] for row in inside if row["verdict"] == SIMILAR]
    text = (
        f"{norms(row['norm'] for row in every)} may each be the best: {_seeds(every)} do "
        f"not tell them apart in {NOUNS[rule.metric]} ({_values(every, rule)})"
    )
    if similar:
        text += f"; {norms(similar)} {_be(similar)} similar to {quoted(leader['norm'])}"
    return f"{text}."


def separate(rows: Rows, rule: VerdictRule) -> list[str]:
    """What would settle which norm is best: more seeds, for each norm that may still be."""
    inside = [row for row in rows[1:] if row["in_set"] and row["verdict"].startswith(UNDECIDED)]
    if not inside or math.isnan(rows[0]["value"]):
        return []
    leader = quoted(rows[0]["norm"])
    needs = [
        f"{quoted(row['norm'])} about {count(row['more_seeds'])}"
        if row["more_seeds"] <= MOST_SEEDS
        else f"{quoted(row['norm'])} more than {MOST_SEEDS:,}"
        for row in inside
        if not math.isnan(row["more_seeds"])
    ]
    parts = []
    if needs:
        parts.append(
            f"more seeds that would tell them from {leader}, if the differences are as measured: "
            f"{', '.join(needs)}"
        )
    rest = [row for row in inside if math.isnan(row["more_seeds"])]
    parts += sorted({_reason(row["verdict"]) for row in rest} - {""})
    for row in rest:
        most = max(abs(row["ci_low"]), abs(row["ci_high"]))
        if math.isfinite(most):
            name = quoted(row["norm"])
            parts.append(f"{name} may differ from {leader} by up to {size(rule.metric, most)}")
    return [f"Open: {'; '.join(parts)}."] if parts else []


def cost(rows: Rows, baseline: str, kernel: str) -> list[str]:
    """What a step costs under the norms that may be best, beside the baseline."""
    inside = [row for row in rows if row["in_set"] and _time(row) > 0]
    base = next((row for row in rows if row["norm"] == baseline and _time(row) > 0), None)
    if not inside:
        return []
    told = f"A step takes {_times(inside[:3])}"
    if base is not None and base not in inside:
        told += f", {seconds(_time(base))} under {quoted(baseline)}"
    return [f"{told} ({kernel})."]


def against(comparisons: Sequence[Mapping[str, Any]], baseline: str, rule: VerdictRule) -> str:
    """The second question, whether a norm helps at all: one sentence, or nothing.

    comparisons: the rows of the judged metric, each norm against the baseline.
    """
    if not comparisons:
        return ""
    told: dict[str, list[Mapping[str, Any]]] = {}
    for row in comparisons:
        if not row["pairs"]:
            continue  # a norm without results, which is said elsewhere
        word = next((w for w in (TOO_FEW, UNDECIDED) if row["verdict"].startswith(w)), None)
        told.setdefault(word or row["verdict"], []).append(row)
    if set(told) <= {TOO_FEW, ""}:  # none included
        return ""  # said of the norms themselves
    parts = []
    for word in (BETTER, WORSE, SIMILAR, UNDECIDED, TOO_FEW):
        if rows := told.get(word):
            names = [row["norm"] for row in rows]
            parts.append(f"{norms(names)} {_be(names)} {word}{_detail(word, rows, rule)}")
    if list(told) == [BETTER] and len(told[BETTER]) == len(comparisons) > 1:
        return f"All others are better than the baseline {quoted(baseline)}."
    return f"Against the baseline {quoted(baseline)}: {'; '.join(parts)}."


def _detail(word: str, rows: Sequence[Mapping[str, Any]], rule: VerdictRule) -> str:
    """What 80 % power would have found behind undecided; the seeds it takes behind too few."""
    if word == TOO_FEW:
        return f" ({_reason(rows[0]['verdict'])})"
    if word != UNDECIDED:
        return ""
    texts = sorted({_reason(row["verdict"]) for row in rows} - {""})
    if effects := [row["detectable"] for row in rows if 0 < row["detectable"] < math.inf]:
        texts.append(f"80 % power would have found {size(rule.metric, max(effects))} or more")
    return f" ({'; '.join(texts)})" if texts else ""


def kernel_text(runtime: Mapping[str, Any], precision: str | None) -> str:
    """What ran: times a step mean nothing without it."""
    kernels = "compiled" if runtime.get("compile") else "eager"
    threads = runtime.get("threads")
    parts = [f"{kernels} kernels", str(runtime.get("device", "cpu")), precision or ""]
    parts.append(f"{threads} thread{'' if threads == 1 else 's'}" if threads else "")
    return ", ".join(filter(None, parts))


def _value(row: Row, rule: VerdictRule) -> str:
    if rule.metric == "steps_to_target":
        target = f"{percent(row['target'])} % validation accuracy"
        if math.isinf(row["value"]):
            return f"{target} missed in half or more of its runs"
        return f"{target} in a median of {count(row['value'])} steps"
    text = judged(rule.metric, row["value"])
    unit = " %" if rule.metric.endswith("accuracy") else ""
    return f"{NOUNS[rule.metric]} {text}{unit}"


def _values(rows: Rows, rule: VerdictRule) -> str:
    texts = [judged(rule.metric, row["value"], row["budget_steps"]) for row in rows]
    unit = {"steps_to_target": " steps"}.get(
        rule.metric, " %" if rule.metric.endswith("accuracy") else ""
    )
    return f"{', '.join(texts)}{unit}"


def _margin(rule: VerdictRule) -> str:
    if rule.metric == "steps_to_target":
        return f"{100 * rule.similar_within:g} % of the steps"
    if rule.metric.endswith("accuracy"):
        return f"{100 * rule.similar_within:g} pp"
    return f"{rule.similar_within:g}"


def _times(rows: Rows, first: Row | None = None) -> str:
    order = rows if first is None else [first, *(row for row in rows if row is not first)]
    texts = [f"{seconds(_time(row))} under {quoted(row['norm'])}" for row in order]
    if first is None:
        return joined(texts)
    return f"{seconds(_time(first))} a step against {joined(texts[1:])}"


def _time(row: Row) -> float:
    value = row.get("train_seconds_per_step", math.nan)
    return 0.0 if value is None or math.isnan(value) else float(value)


def _seeds(rows: Rows) -> str:
    """8 seeds, or 8 to 20 seeds where norms took different numbers of them."""
    numbers = [int(row["seeds"]) for row in rows]
    low, high = min(numbers), max(numbers)
    return counted(high, "seed") if low == high else f"{low} to {high} seeds"


def _reason(verdict: str) -> str:
    return verdict.partition("(")[2].rstrip(")")


def _be(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
