"""What a statement is, and what an examination of it gives back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from normbench.claims.family import sentence
from normbench.claims.verdicts import Judgement, Verdict
from normbench.registry import Registry
from normbench.store import SCHEMA

if TYPE_CHECKING:
    from normbench.claims.context import Context
    from normbench.plan import PlannedRun


@dataclass(frozen=True)
class Evidence:
    """What was found about one statement.

    judgement: the verdict, the pieces it rests on, and on what it depends. experiment: what was
    done; remarks: what else was seen, in short sentences; numbers: the same for JSON; commands:
    what reproduces it; table: rows to print below, such as the invariances.
    """

    judgement: Judgement
    experiment: str
    commands: Sequence[str]
    remarks: Sequence[str] = ()
    numbers: Mapping[str, Any] = field(default_factory=dict)
    table: Sequence[Mapping[str, Any]] = ()

    @property
    def verdict(self) -> Verdict:
        """What the evidence says."""
        return self.judgement.verdict

    @property
    def sentences(self) -> list[str]:
        """Every piece with its numbers, then the remarks."""
        return [*map(sentence, self.judgement.pieces), *self.remarks]


@dataclass(frozen=True)
class Claim:
    """A statement about normalization and how it is put to the test.

    short: the statement in a few words, for a list. source: who says so. studies: the names of the
    experiments it rests on (``studies.STUDIES``), which a forecast counts.
    """

    number: int
    short: str
    statement: str
    examine: Callable[[Context], Evidence]
    source: str = ""
    studies: tuple[str, ...] = ()


CLAIMS: Registry[Claim] = Registry("claim", "normbench.claims")
"""One statement, or a few related ones, a file; writing the file registers them."""


def ordered(only: Sequence[int] = ()) -> list[tuple[str, Claim]]:
    """The statements by number, all or those asked for."""
    known = sorted(((name, CLAIMS[name]) for name in CLAIMS), key=lambda item: item[1].number)
    return [item for item in known if not only or item[1].number in only]


@dataclass(frozen=True)
class Row:
    """One statement with what was found. core_minutes: of training, of the experiments that it
    rests on, some of which other statements share; missing where it rests on none."""

    name: str
    claim: Claim
    evidence: Evidence
    core_minutes: float = math.nan


@dataclass(frozen=True)
class Claims:
    """Every statement that was examined, in order.

    setting: what the statements were measured on, in words. notes: what was measured in place of
    the config's own settings. stopped: interrupted before the end, by ``signal``; the rows are
    then those that were complete. failed: training runs that crashed, each with its reason.
    literature: the rows of claims of the literature, as ``claims.scoreboard`` makes them.
    """

    name: str
    quick: bool
    rows: list[Row]
    setting: str = ""
    notes: list[str] = field(default_factory=list)
    failed: list[tuple[PlannedRun, str]] = field(default_factory=list)
    stopped: bool = False
    signal: int | None = None
    literature: list[dict[str, Any]] = field(default_factory=list)

    def with_literature(self, more: Claims) -> Claims:
        """These, and the claims of the literature behind them."""
        return replace(
            self,
            failed=[*self.failed, *more.failed],
            stopped=more.stopped,
            signal=more.signal,
            literature=more.literature,
        )

    def to_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "schema": SCHEMA,
            "experiment": self.name,
            "quick": self.quick,
            "setting": self.setting,
            "notes": self.notes,
            "failed_runs": [
                {"run": run.folder, "reason": reason.strip()} for run, reason in self.failed
            ],
            "claims": [*(_row(row) for row in self.rows), *self.literature],
        }


def _row(row: Row) -> dict[str, Any]:
    claim, evidence = row.claim, row.evidence
    judgement = evidence.judgement
    return {
        "number": claim.number,
        "name": row.name,
        "short": claim.short,
        "statement": claim.statement,
        "source": claim.source,
        "core_minutes": row.core_minutes,
        "verdict": judgement.verdict.value,
        "depends_on": list(judgement.depends_on),
        "conditions": judgement.words,
        "situation": dict(judgement.fixed),
        "experiment": evidence.experiment,
        "parts": [
            {
                "part": piece.part,
                "situation": dict(piece.situation),
                "holds": piece.holds,
                **piece.numbers,
            }
            for piece in judgement.pieces
        ],
        "evidence": evidence.sentences,
        "commands": list(evidence.commands),
        "numbers": dict(evidence.numbers),
        "table": [dict(line) for line in evidence.table],
    }


def examine(context: Context, only: Sequence[int] = ()) -> Claims:
    """Examine every statement, or those asked for, and stop in good order when interrupted."""
    from normbench.claims.context import Interrupted

    name, rows = context.original.name, []
    interrupted: Interrupted | None = None
    chosen = ordered(only)
    try:
        context.forecast([study for _, claim in chosen for study in claim.studies])
        for key, claim in chosen:
            evidence = claim.examine(context)
            rows.append(Row(key, claim, evidence, context.core_minutes(claim.studies)))
    except Interrupted as error:
        interrupted = error
    return Claims(
        name,
        context.quick,
        rows,
        context.setting,
        context.notes,
        context.failed,
        interrupted is not None,
        interrupted.signal if interrupted else None,
    )
