"""What to write in plain PyTorch: a line after the verdict, and tables of every slot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from normbench.errors import ConfigError, Problem, StoreError, suggest
from normbench.plain import shown
from normbench.report.answer import Answer
from normbench.report.columns import Column, norm_column
from normbench.report.sections import Section
from normbench.report.wording import joined, quoted
from normbench.results.experiment import ExperimentResult
from normbench.results.swaps import NormSwaps

_NOTE = (
    "as plain PyTorch writes it; what does not begin with nn. PyTorch has no layer for; "
    "“on ...” says how the input must be seen"
)
_SLOTS = 4  # named in a row of layers


def pytorch_line(comparison: ExperimentResult, conclusion: Answer) -> str:
    """``in PyTorch, for group: nn.BatchNorm2d(64) -> nn.GroupNorm(8, 64), 5 times``; else empty.

    Of the norm to use, or where several may be the best of the one that leads; nothing without a
    verdict, and for runs of an earlier normbench.
    """
    norm, swaps = conclusion.recommended or conclusion.open_leader, comparison.swaps
    if norm is None or swaps is None:
        return ""
    lines, more = swaps.in_pytorch(norm)
    if not lines:
        text = "the norms stay as they are" if norm in swaps.untouched else ""
    else:
        text = "; ".join([*lines, *([f"and {more} more such pairs"] if more else [])])
    besides = _besides(swaps, norm)
    told = "; ".join(filter(None, [text, besides]))
    leads = "" if conclusion.recommended else ", which leads"
    return shown(f"in PyTorch, for {quoted(norm)}{leads}: {told}") if told else ""


def _besides(swaps: NormSwaps, norm: str) -> str:
    """What a method changes that no exchange of a layer says."""
    words = {
        "activation": "the activations",
        "weight": "how weights are held",
        "residual": "residual branches",
        "init": "initial values",
    }
    changed = [words.get(word, word) for word in swaps.besides.get(norm, ())]
    return f"besides it changes {joined(changed)}" if changed else ""


def slot_sections(comparison: ExperimentResult, norm: str) -> Iterator[Section]:
    """What stands at each slot under ``norm``, and which norms were kept.

    Raises ConfigError for an unknown norm, StoreError for runs of an earlier normbench.
    """
    known = comparison.reported.norms
    if norm not in known:
        problem = f"{norm!r} is none of the norms of {comparison.name!r}"
        raise ConfigError([Problem("--swap", problem, suggest(norm, known))])
    swaps = comparison.swaps
    if swaps is None or norm not in {*swaps.slots["norm"], *swaps.untouched}:
        raise StoreError(
            f"no run of {norm!r} in {comparison.name!r} tells which norms were exchanged\n"
            "    an earlier normbench trained them, or none has begun"
        )
    note = "; ".join(filter(None, [_NOTE, _besides(swaps, norm)]))
    columns = [
        Column("slot", lambda row: shown(row["path"]), left=True),
        Column("in the network", lambda row: _before(row), left=True),
        Column("in its place", lambda row: shown(row["after"]), left=True),
    ]
    title = f"{comparison.name}: {norm} in PyTorch, slot by slot"
    yield Section(title, swaps.of(norm), columns, note)
    names = pd.DataFrame({"name": list(swaps.reinitialized.get(norm, ()))})
    column = Column("parameter", lambda row: shown(row["name"]), left=True)
    yield Section(f"{comparison.name}: starts elsewhere under {norm}", names, [column])
    yield _kept(comparison.name, swaps)


def layer_sections(comparison: ExperimentResult) -> Iterator[Section]:
    """Under each norm every pair of layers once, with the slots where it stands; what was kept."""
    swaps = comparison.swaps
    if swaps is None:
        return
    rows = swaps.slots.groupby(["norm", "before", "after"], sort=False, dropna=False)["path"]
    columns = [
        norm_column(),
        Column("in the network", lambda row: _before(row), left=True),
        Column("in its place", lambda row: shown(row["after"]), left=True),
        Column("slots", lambda row: _slots(row["path"]), left=True),
    ]
    norms = comparison.reported.norms
    title = f"{comparison.name}: the norms in PyTorch"
    yield Section(title, rows.agg(list).reset_index(), columns, _NOTE, norms)
    yield _kept(comparison.name, swaps)


def _kept(name: str, swaps: NormSwaps) -> Section:
    columns = [
        Column(word, lambda row, word=word: shown(row[word]), left=True)  # type: ignore[misc]
        for word in ("path", "kind", "reason")
    ]
    return Section(f"{name}: norms that stay as they are", swaps.kept, columns)


def _before(row: Any) -> str:
    return "(a placeholder)" if pd.isna(row["before"]) else shown(row["before"])


def _slots(paths: list[str]) -> str:
    named = ", ".join(paths[:_SLOTS])
    return shown(named if len(paths) <= _SLOTS else f"{len(paths)}: {named}, ...")
