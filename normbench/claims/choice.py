"""Statement 11: which norm the evidence favours, and whether that changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from normbench.comparison import Tables
from normbench.report.columns import number
from normbench.claims.base import CLAIMS, Claim, Finding
from normbench.claims.context import Context, Study
from normbench.claims.rules import Duel, choice, favourites, reversals

NOTHING: Mapping[str, Any] = MappingProxyType({})
SHARED, BEST = "as configured", "own best rates"


def duels_of(tables: Tables, situation: str, skip: Mapping[str, Any] = NOTHING) -> list[Duel]:
    """Every two norms compared by the area under the curve; a sweep's values name situations.

    skip: a sweep point that is left out.
    """
    table, keys = tables.paired(all_pairs=True), tables.results.keys
    if table.empty:
        return []
    duels = []
    for row in table[table["metric"] == "auc"].to_dict("records"):
        if skip and all(row[key] == value for key, value in skip.items()):
            continue
        values = [f"{key.rsplit('.', 1)[-1].replace('_', ' ')} {row[key]}" for key in keys]
        name = ", ".join(values) or situation
        duels.append(Duel(name, row["norm"], row["baseline"], row["verdict"]))
    return duels


def _situations(context: Context) -> Iterator[tuple[list[Duel], Study]]:
    yield duels_of(context.base.comparison.reported, SHARED), context.base
    if context.depth is not None:
        yield duels_of(context.depth.comparison.reported, "deeper"), context.depth
    if context.batch_size is not None:
        # The config's own batch size is measured as configured; here its budget is another one.
        skip = {"data.batch_size": context.config.data.batch_size}
        tables = context.batch_size.comparison.reported
        yield duels_of(tables, "smaller batch", skip), context.batch_size
    if context.other_model is not None:
        kind = context.other_model.comparison.results.config["model"]["kind"]
        yield duels_of(context.other_model.comparison.reported, kind), context.other_model
    if context.base.comparison.best is not None:
        yield duels_of(context.base.comparison.best, BEST), context.base


def means(tables: Tables) -> dict[str, float]:
    """norm -> mean area under the curve, the largest first."""
    table = tables.convergence
    found: pd.Series = table.set_index("norm")["auc_mean"].sort_values(ascending=False)
    return {str(norm): float(value) for norm, value in found.items()}


def examine(context: Context) -> Finding:
    """Every two norms in every situation that was measured here."""
    every: list[Duel] = []
    commands: dict[str, None] = {}
    for duels, study in _situations(context):
        every += duels
        commands[study.command] = None
    by_situation: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(duel.situation for duel in every):
        here = [duel for duel in every if duel.situation == name]
        by_situation[name] = {
            "favourites": favourites(here),
            "duels": [duel._asdict() for duel in here],
        }
    evidence: list[str] = []
    own = {SHARED: context.base.comparison.reported, BEST: context.base.comparison.best}
    for name, tables in own.items():
        if name not in by_situation or tables is None:
            continue
        order = by_situation[name]["auc_mean"] = means(tables)
        shown = ", ".join(f"{norm} {number(value)}" for norm, value in order.items())
        favoured = " or ".join(by_situation[name]["favourites"])
        evidence.append(f"{name}: {favoured or 'no norm is ahead beyond doubt'} (AUC {shown})")
    turned = reversals(every)
    others = [
        f"{name}: {' or '.join(found['favourites']) or 'none ahead'}"
        for name, found in by_situation.items()
        if name not in own
    ]
    if others:
        evidence.append("; ".join(others))
    evidence += [
        f"{winner} beats {loser} ({place}) and loses to it ({other})"
        for winner, loser, place, other in turned[:3]
    ]
    if not turned:
        evidence.append("no two norms change places beyond doubt")
    return Finding(
        choice(every),
        "every two norms paired by seed by the area under the validation curve, as configured, at "
        "own best rates, and with other depths, batch sizes and networks",
        evidence,
        {"situations": by_situation, "reversals": [list(item) for item in turned]},
        list(commands),
    )


CLAIMS.register("choice")(Claim(11, "The best choice of norm depends on the model.", examine))
