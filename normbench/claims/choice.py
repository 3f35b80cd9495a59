"""Statement 11: whether the best choice of norm depends on the model.

The rule, fixed here: every two norms, paired by seed by the area under the validation curve, in
every network that was measured, each at its own best rate there: under each initialization, deeper,
and another kind. All comparisons in all situations are one family. (The batch size is no part of
the model and not tuned for; statement 4 is about it.)

- Supported: two norms change places between two situations, each time beyond doubt.
- Refuted: one norm is in every situation as good as every other one, its intervals above
  -``WITHIN``: there is a choice that serves everywhere. No sign of a difference refutes nothing.
- Otherwise open. Two norms of which neither trains in a situation are not compared there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from normbench.analysis.rule import BETTER, WORSE
from normbench.analysis.tuning import trains
from normbench.claims.base import CLAIMS, Claim, Evidence
from normbench.claims.context import Context
from normbench.claims.family import Duel, Judged, judged
from normbench.claims.study import BEST, ROLES, SHARED, Study, SweepPoint, paired
from normbench.claims.training_effect import AREA
from normbench.claims.verdicts import Part, Piece, judge, named
from normbench.report.columns import number

WITHIN = 0.01
STUDIES = ("base", "depth", "other-model")


def duels_of(study: Study, norms: Sequence[str], chance: float, **more: Any) -> list[Duel]:
    """Every two norms at every point, at own best rates if there are any.

    chance: the accuracy of guessing. Two norms of which neither trains are no choice.
    """
    rate = BEST if study.comparison.tuned_key else SHARED

    def train(norm: str, sweep_point: SweepPoint) -> bool:
        accuracy = study.mean(norm, "val_accuracy", ROLES[rate], sweep_point)
        return bool(trains(accuracy, chance, study.target))

    return [
        Duel(
            "a choice for every model",
            {**more, **study.situation(sweep_point, rate=rate)},
            first,
            second,
            AREA,
            paired(*(study.by_seed(n, "auc", ROLES[rate], sweep_point) for n in (first, second))),
            WITHIN,
        )
        for sweep_point in study.sweep_points
        for first, second in itertools.combinations(norms, 2)
        if train(first, sweep_point) or train(second, sweep_point)
    ]


def _situations(context: Context) -> Iterator[tuple[list[Duel], Study]]:
    none = context.label("none")
    for name in STUDIES:
        study = context.study(name)
        if study is None:
            continue
        kind = study.config["model"]["kind"]
        labels = list(dict.fromkeys(study.comparison.results.runs["norm"]))
        chance = 1 / context.dataset.num_classes
        duels = duels_of(study, [label for label in labels if label != none], chance, model=kind)
        yield duels, study


def in_words(situation: Mapping[str, Any]) -> str:
    """A situation in words."""
    return ", ".join(named(*pair) for pair in situation.items())


def winners(duels: Sequence[Judged]) -> list[tuple[str, str, str]]:
    """(situation, winner, loser) of every duel that was decided."""
    decided = []
    for one in duels:
        if one.word in (BETTER, WORSE):
            pair = (one.duel.first, one.duel.second)
            decided.append((in_words(one.duel.situation), *(pair if one.holds else pair[::-1])))
    return decided


def reversals(duels: Sequence[Judged]) -> list[tuple[str, str, str, str]]:
    """(winner, loser, situation, situation in which it is the other way round), each pair once."""
    first: dict[tuple[str, str], str] = {}
    for situation, winner, loser in winners(duels):
        first.setdefault((winner, loser), situation)
    return [
        (winner, loser, situation, first[loser, winner])
        for (winner, loser), situation in first.items()
        if (loser, winner) in first and winner < loser
    ]


def favourites(duels: Sequence[Judged]) -> list[str]:
    """Norms that beat another one and are beaten by none, in these situations together."""
    decided = winners(duels)
    losers = {loser for _, _, loser in decided}
    return [w for w in dict.fromkeys(winner for _, winner, _ in decided) if w not in losers]


def serves_everywhere(duels: Sequence[Judged]) -> list[str]:
    """Norms that are as good as every other one in every situation, by their intervals."""
    norms: dict[str, set[str]] = {}
    good: dict[str, bool] = {}
    for one in duels:
        duel, where = one.duel, in_words(one.duel.situation)
        sides = (
            (duel.first, one.low > -duel.within or one.word == BETTER),
            (duel.second, one.high < duel.within or one.word == WORSE),
        )
        for norm, holds in sides:
            norms.setdefault(norm, set()).add(where)
            good[norm] = good.get(norm, True) and holds
    every = {where for situations in norms.values() for where in situations}
    return [norm for norm, situations in norms.items() if good[norm] and situations == every]


def depends_on_model(duels: Sequence[Judged]) -> Part:
    """The rule of the statement; a single situation says nothing."""
    if len({in_words(one.duel.situation) for one in duels}) < 2:
        return None
    if reversals(duels):
        return True
    return False if serves_everywhere(duels) else None


def examine(context: Context) -> Evidence:
    """Every two norms in every situation that was measured here."""
    every: list[Duel] = []
    commands: dict[str, None] = {}
    for duels, study in _situations(context):
        every += duels
        commands[study.command] = None
    decided = judged(every)
    by_situation: dict[str, dict[str, Any]] = {}
    remarks = []
    for where in dict.fromkeys(in_words(duel.situation) for duel in every):
        here = [one for one in decided if in_words(one.duel.situation) == where]
        ahead = favourites(here)
        by_situation[where] = {
            "situation": dict(here[0].duel.situation),
            "favourites": ahead,
            "duels": [one.numbers for one in here],
        }
        shown = "; ".join(f"{one.duel.first} - {one.duel.second} {_gap(one)}" for one in here)
        remarks.append(f"{where}: {' or '.join(ahead) or 'none ahead'} ({shown})")
    turned = reversals(decided)
    told = [
        f"{winner} beats {loser} at {here} and loses to it at {other}"
        for winner, loser, here, other in turned
    ]
    served = serves_everywhere(decided)
    why = "; ".join(told[:3]) or (
        f"{' and '.join(served)} as good as any everywhere"
        if served
        else "no two norms change places beyond doubt, and none is shown to serve everywhere"
    )
    networks = dict.fromkeys(duel.situation["model"] for duel in every)
    situation = {"networks": " and ".join(networks)}
    if hasattr(context.config.model, "init"):
        situation["init"] = context.config.model.init
    piece = Piece("the choice depends on the model", situation, depends_on_model(decided), why)
    return Evidence(
        judge([piece]),
        "every two norms paired by seed by the area under the validation curve: at own best rates "
        "under each initialization, deeper, and in another kind of network",
        list(commands),
        remarks,
        {"situations": by_situation, "reversals": [list(item) for item in turned]},
    )


def _gap(one: Judged) -> str:
    mark = "*" if one.word in (BETTER, WORSE) else ""
    return f"{number(one.difference, 2)}{mark}"


CLAIMS.register("choice")(
    Claim(
        11,
        "the best choice depends on the model",
        "The best choice of norm depends on the model.",
        examine,
        studies=STUDIES,
    )
)
