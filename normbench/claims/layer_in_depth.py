"""Statement 7: layer norm against batch norm in very deep networks."""

from __future__ import annotations

from typing import Any

from normbench.report.columns import difference, number
from normbench.claims.base import CLAIMS, Claim, Finding
from normbench.claims.context import Context, one_row
from normbench.claims.rules import Part, Verdict, combine, part_of, settled


def parts_of(words: dict[int, str]) -> dict[str, Part]:
    """Parts from depth -> the verdict word of layer norm against batch norm: it is the worse one.

    A depth without evidence of a difference (both fail, or both work) has nothing to say where
    another one has.
    """
    return settled(
        [None if (part := part_of(word)) is None else not part for word in words.values()]
    )


def examine(context: Context) -> Finding:
    """Layer against batch norm at two and four times the config's depth."""
    experiment = (
        "layer norm against batch norm in deeper networks, paired by seed by the area under the "
        "validation curve"
    )
    study = context.depth
    if study is None:
        text = "this network has no depth that could be raised"
        return Finding(Verdict.NOT_ENOUGH, experiment, [text], {}, context.direct(7))
    batch, layer = context.label("batch"), context.label("layer")
    tables = study.comparison.reported
    pairs = tables.paired(all_pairs=True)
    found: list[dict[str, Any]] = []
    words: dict[int, str] = {}
    for depth in study.comparison.results.config["sweep"]["model.depth"]:
        point = {"model.depth": depth}
        row = one_row(pairs, norm=layer, baseline=batch, metric="auc", **point)
        sides = {kind: study.converged(label, **point) or {} for kind, label in _both(batch, layer)}
        words[depth] = row["verdict"] if row else "not measured"
        found.append(
            {
                "depth": depth,
                "verdict": words[depth],
                "difference": row["difference"] if row else None,
                "p_adjusted": row["p_adjusted"] if row else None,
                **{
                    f"{key}_{kind}": side.get(key)
                    for kind, side in sides.items()
                    for key in ("runs", "reached", "diverged", "auc_mean", "val_accuracy_mean")
                },
            }
        )
    return Finding(
        combine(parts_of(words)),
        experiment,
        [_sentence(one) for one in found],
        {"depths": found},
        [study.command],
    )


def _both(batch: str, layer: str) -> list[tuple[str, str]]:
    return [("batch", batch), ("layer", layer)]


def _sentence(one: dict[str, Any]) -> str:
    if one["difference"] is None:
        return f"{one['depth']} layers: {one['verdict']}"
    return (
        f"{one['depth']} layers: reached batch {one['reached_batch']}/{one['runs_batch']}, layer "
        f"{one['reached_layer']}/{one['runs_layer']}; layer less batch: AUC "
        f"{difference('auc', one['difference'])} (p {number(one['p_adjusted'], 2)}): "
        f"{one['verdict']}"
    )


CLAIMS.register("layer-in-depth")(
    Claim(
        7,
        "In very deep networks layer norm stabilizes training less well than batch norm.",
        examine,
    )
)
