"""Statement 4: batch norm and the batch size."""

from __future__ import annotations

from typing import Any

from normbench.analysis.versus import against_value
from normbench.report.columns import difference, percent
from normbench.claims.base import CLAIMS, Claim, Finding
from normbench.claims.context import Context, Study
from normbench.claims.rules import Verdict, batch_sizes, combine, smallest_size, trains

KEY = "data.batch_size"


def by_size(study: Study, norm: str, reference: int) -> dict[int, dict[str, Any]]:
    """size -> accuracy, and the paired comparison with the reference size of the same norm."""
    tables = study.comparison.reported
    primary = tables.outcomes[tables.outcomes["target"] == tables.targets[0]]
    versus = against_value(primary, KEY, reference, [KEY], metric="val_accuracy")
    keys = ("pairs", "difference", "ci_low", "ci_high", "p_adjusted", "verdict")
    found: dict[int, dict[str, Any]] = {}
    for row in tables.convergence.to_dict("records"):
        if row["norm"] == norm:
            found[int(row[KEY])] = {"val_accuracy_mean": row["val_accuracy_mean"]}
    for row in versus[versus["norm"] == norm].to_dict("records"):
        found[int(row[KEY])] |= {key: row[key] for key in keys}
    return found


def examine(context: Context) -> Finding:
    """Batch norm at smaller batches against itself at the config's, layer norm as a control."""
    study, reference = context.batch_size, context.config.data.batch_size
    experiment = (
        f"batch norm at smaller batches against itself at {reference}, paired by seed by final "
        "validation accuracy after equally many images; layer norm as the control"
    )
    if study is None:
        text = f"there is no batch size below {reference} that batch norm can take"
        return Finding(Verdict.NOT_ENOUGH, experiment, [text], {}, context.direct(4))
    batch, layer = (by_size(study, context.label(kind), reference) for kind in ("batch", "layer"))
    words, control = (
        {size: row["verdict"] for size, row in found.items() if "verdict" in row}
        for found in (batch, layer)
    )
    trained = trains(
        batch[reference]["val_accuracy_mean"],
        1 / context.dataset.num_classes,
        study.comparison.targets[0],
    )
    parts = batch_sizes(words, control, reference, trained=trained)
    smallest = smallest_size(words, reference)
    evidence = [
        f"{kind} norm, accuracy against {percent(found[reference]['val_accuracy_mean'])}% at "
        f"{reference}: "
        + ", ".join(_cell(size, row) for size, row in sorted(found.items()) if "verdict" in row)
        + " pp"
        for kind, found in (("batch", batch), ("layer", layer))
    ]
    down = f"no evidence of a loss down to batch size {smallest}"
    if smallest is None:
        down = next(iter(words.values()), "nothing could be compared")
    elif smallest == reference:
        down = f"loses at the next smaller size than {reference} already"
    if not trained:
        down = f"batch norm does not train at {reference}, so it has nothing to lose"
    numbers = {
        "reference_trains": trained,
        "reference": reference,
        "smallest_size_without_loss": smallest,
        "batch": [{"batch_size": size, **row} for size, row in sorted(batch.items())],
        "layer": [{"batch_size": size, **row} for size, row in sorted(layer.items())],
        "parts": parts,
    }
    return Finding(combine(parts), experiment, [down, *evidence], numbers, [study.command])


def _cell(size: int, row: dict[str, Any]) -> str:
    gap = difference("val_accuracy", row["difference"]).removesuffix(" pp")
    mark = {"worse": " worse", "better": " better"}.get(row["verdict"], "")
    return f"{size}: {gap}{mark}"


CLAIMS.register("batch-size")(
    Claim(
        4,
        "Batch norm depends on the batch size but is robust over a wide range of it.",
        examine,
    )
)
