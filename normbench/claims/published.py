"""Claims of the literature: what one is, and its verdict from the runs of its experiments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from normbench.claims.asks import Ask, Spread, Tables
from normbench.claims.family import judged
from normbench.claims.verdicts import Judgement, Piece, judge
from normbench.registry import Registry

NOT_RUN = "not run"


@dataclass(frozen=True)
class Published:
    """A claim with the rule that was fixed before its experiments ran.

    short: the claim in a few words; expected: what the source expects of this setting; configs:
    the bundled experiments of ``configs/claims`` that it rests on; asks: the rule; changes: what
    would change the answer. number: after those of the article's statements. gpu: its
    experiment is too large for a CPU. presumes: what must hold for the claim to say anything, in
    the same family; where it does not, all is open. amended: what of rule or setting was
    changed after an earlier result had been seen, which the page tells.
    """

    number: int
    short: str
    statement: str
    source: str
    expected: str
    configs: Sequence[str]
    asks: Sequence[Ask | Spread]
    changes: str
    gpu: bool = False
    presumes: Sequence[Ask] = ()
    amended: str = ""

    def ready(self, tables: Tables) -> bool:
        """Whether every experiment has been run."""
        return all(name in tables for name in self.configs)

    def decide(self, tables: Tables) -> Judgement:
        """The verdict of the rule on these runs: all questions paired by seed are one family."""
        first = len(self.presumes)
        duels = [
            (index, duel)
            for index, ask in enumerate([*self.presumes, *self.asks], -first)
            if isinstance(ask, Ask)
            for duel in ask.duels(tables, self.configs[0])
        ]
        decided = judged([duel for _, duel in duels])
        pieces: list[tuple[int, Piece]] = [
            (index, one.piece) for (index, _), one in zip(duels, decided, strict=True)
        ]
        pieces += [
            (index, ask.piece(tables, self.configs[0]))
            for index, ask in enumerate(self.asks)
            if isinstance(ask, Spread)
        ]
        pieces.sort(key=lambda item: item[0])
        lacking = [piece for index, piece in pieces if index < 0 and piece.holds is not True]
        asked = [piece for index, piece in pieces if index >= 0]
        if lacking:
            why = "; ".join(
                f"presumes that {piece.part}, not found: {piece.why}" for piece in lacking
            )
            asked = [replace(piece, holds=None, why=f"{piece.why}; {why}") for piece in asked]
        return judge(asked)


LITERATURE: Registry[Published] = Registry("claim of the literature", "normbench.claims.literature")
"""One claim a file; writing the file registers it."""


def in_order() -> list[tuple[str, Published]]:
    """(name, claim) by number."""
    return sorted(((name, LITERATURE[name]) for name in LITERATURE), key=lambda one: one[1].number)
