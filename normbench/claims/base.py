"""What a statement is, and what an examination of it gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from normbench.registry import Registry
from normbench.claims.rules import Verdict
from normbench.store import SCHEMA

if TYPE_CHECKING:
    from normbench.plan import PlannedRun
    from normbench.claims.context import Context


@dataclass(frozen=True)
class Finding:
    """The evidence about one statement.

    experiment: what was done; evidence: the numbers in short sentences; numbers: the same for
    JSON; commands: what reproduces it; table: rows to print below, such as the invariances.
    """

    verdict: Verdict
    experiment: str
    evidence: Sequence[str]
    numbers: Mapping[str, Any]
    commands: Sequence[str]
    table: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Claim:
    """A statement about normalization and how it is put to the test."""

    number: int
    statement: str
    examine: Callable[[Context], Finding]


CLAIMS: Registry[Claim] = Registry("claim", "normbench.claims")
"""One statement, or a few related ones, a file; writing the file registers them."""


def ordered(only: Sequence[int] = ()) -> list[tuple[str, Claim]]:
    """The statements by number, all or those asked for."""
    known = sorted(((name, CLAIMS[name]) for name in CLAIMS), key=lambda item: item[1].number)
    return [item for item in known if not only or item[1].number in only]


@dataclass(frozen=True)
class Row:
    """One statement with what was found."""

    name: str
    claim: Claim
    finding: Finding


@dataclass(frozen=True)
class Claims:
    """Every statement that was examined, in order.

    notes: what was measured in place of the config's own settings. stopped: interrupted before
    the end, by ``signal``; the rows are then those that were complete. failed: training runs that
    crashed, each with its reason.
    """

    name: str
    quick: bool
    rows: list[Row]
    notes: list[str] = field(default_factory=list)
    failed: list[tuple[PlannedRun, str]] = field(default_factory=list)
    stopped: bool = False
    signal: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """The object that ``--json`` prints."""
        return {
            "schema": SCHEMA,
            "experiment": self.name,
            "quick": self.quick,
            "notes": self.notes,
            "failed_runs": [
                {"run": run.folder, "reason": reason.strip()} for run, reason in self.failed
            ],
            "claims": [
                {
                    "number": row.claim.number,
                    "name": row.name,
                    "statement": row.claim.statement,
                    "experiment": row.finding.experiment,
                    "evidence": list(row.finding.evidence),
                    "verdict": row.finding.verdict.value,
                    "commands": list(row.finding.commands),
                    "numbers": dict(row.finding.numbers),
                    "table": [dict(line) for line in row.finding.table],
                }
                for row in self.rows
            ],
        }


def examine(context: Context, only: Sequence[int] = ()) -> Claims:
    """Examine every statement, or those asked for, and stop in good order when interrupted."""
    from normbench.claims.context import Interrupted

    name, rows = context.original.name, []
    interrupted: Interrupted | None = None
    for key, claim in ordered(only):
        try:
            rows.append(Row(key, claim, claim.examine(context)))
        except Interrupted as error:
            interrupted = error
            break
    return Claims(
        name,
        context.quick,
        rows,
        context.notes,
        context.failed,
        interrupted is not None,
        interrupted.signal if interrupted else None,
    )
