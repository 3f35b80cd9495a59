"""The tables of a probe, and the object that ``probe --json`` prints."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from normbench.analysis.propagation import Propagation
from normbench.report.columns import (
    Column,
    Row,
    count,
    key_columns,
    norm_column,
    number,
    sparkline,
)
from normbench.report.sections import Section
from normbench.results.records import records
from normbench.store import SCHEMA

GROWTH_NOTE = (
    "growth: of the squared norm of dL/dz per layer toward the input within a CNN's stages, in a "
    "residual network per block, of what enters it (1 preserves, below 1 vanishes, above 1 "
    "explodes; a residual network by its own depth), ± over seeds; z: how many of theory's "
    "standard errors the ratio is off; undecided: growth ± 2 standard errors crosses a border; "
    "skip: mean square of a block's skip over that of skip plus branch, first block to last; all "
    "layers: the factor over this network's depth; 1e4 in: layers until it is 1e4, the norm's 100; "
    "rank: effective rank of the last layer's activations over the batch, 1 if all examples are "
    "alike; forward: growth of the mean square activation toward the output; cosine: mean between "
    "two examples at the last layer; W growth: the growth of dL/dW; by layer: norm of dL/dz, or "
    "standard deviation of the activations, from the input; in brackets: theory"
)
THEORY_NOTE = (
    "backward: factor on the squared gradient a layer toward the input, in a residual network a "
    "block; forward: on the mean square activation toward the output; sd: of ln(growth) as it is "
    "measured, from width, depth and seeds; skip: mean square of a block's skip over that of skip "
    "plus branch, first block to last; all layers: the factor over this network's depth; 1e4 in: "
    "layers until it is 1e4; cosine: between two examples at the last layer"
)
LANDSCAPE_NOTE = (
    "medians over seeds, along the gradient at 0.5 to 4 learning rates: range of the loss, how far "
    "the gradient moves from the one at the start (little is predictable), and effective "
    "smoothness (the most it moves per distance); eigenvalue: of the Hessian, largest in "
    "magnitude; noise: the batch size at which gradient noise and signal are level"
)


def as_dict(propagation: Propagation) -> dict[str, Any]:
    """The object that ``--json`` prints; missing and infinite numbers are None."""
    out = {
        "schema": SCHEMA,
        "experiment": propagation.experiment,
        "propagation": records(propagation.table),
    }
    if len(propagation.landscape):
        out["landscape"] = records(propagation.landscape)
    return out


def sections(propagation: Propagation) -> list[Section]:
    """The tables of a probe in reading order."""
    table, keys = propagation.table, propagation.keys
    if "layers" not in table:
        return [_theory_section(propagation)]
    seeds = int((table["seeds"] + table["diverged"]).max())
    rows = table.drop(columns="layers").assign(
        # Arrays, which the CSV leaves out.
        **{
            column: [np.array([layer[name] for layer in layers]) for layers in table["layers"]]
            for column, name in {
                "activation_gradient": "activation_gradient",
                "activation_out_std": "activation_out_std",
                "effective_rank_by_layer": "effective_rank",
            }.items()
        }
    )
    trained = bool((rows["step"] > 0).any())
    when = "before and after training" if trained else "at initialization"
    plural = "" if seeds == 1 else "s"
    norms = list(dict.fromkeys(rows["norm"]))
    return [
        Section(
            f"{propagation.experiment}: signals {when}, {seeds} seed{plural}",
            rows,
            _columns(keys, trained, rows),
            "\n".join([GROWTH_NOTE, *_gradient_notes(table), *_theory_notes(propagation)]),
            norms,
        ),
        Section(
            f"{propagation.experiment}: the loss around the weights",
            propagation.landscape,
            _landscape_columns(keys),
            LANDSCAPE_NOTE,
            norms,
        ),
    ]


def _theory_section(propagation: Propagation) -> Section:
    """What theory says alone."""
    table = propagation.table
    seeds = int(table["seeds"].max())
    return Section(
        f"{propagation.experiment}: theory at initialization, "
        f"{seeds} seed{'' if seeds == 1 else 's'}",
        table,
        [
            norm_column(),
            *key_columns(propagation.keys),
            Column("backward", lambda row: _or_empty(row["theory"])),
            Column("forward", lambda row: _or_empty(row["forward_theory"])),
            Column("sd", lambda row: number(row["theory_se"], 2), weight=4),
            Column("verdict", lambda row: row["verdict"], left=True),
            Column("all layers", lambda row: number(row["factor_over_depth"], 2), weight=1),
            Column("1e4 in", lambda row: _layers(row["depth_for_1e4"]), weight=3),
            *_skip_column(table, lambda row: _ends(row["identity_share_theory"])),
            Column("cosine", lambda row: number(row["example_cosine_theory"]), weight=2),
        ],
        "\n".join([THEORY_NOTE, *_theory_notes(propagation)]),
        list(dict.fromkeys(table["norm"])),
    )


def _gradient_notes(table: pd.DataFrame) -> list[str]:
    """Which gradient was sent backward at step 0."""
    if (table.loc[table["step"] == 0, "gradient"] == "independent").any():
        return [
            "gradients at initialization: drawn independently for each example, at the head "
            "(--gradient loss: the loss's)"
        ]
    return ["gradients: of the loss, whose examples are alike at initialization"]


def _columns(keys: list[str], trained: bool, rows: pd.DataFrame) -> list[Column]:
    step = [Column("step", lambda row: count(row["step"]))] if trained else []
    return [
        norm_column(),
        *key_columns(keys),
        *step,
        Column("growth", lambda row: _with_spread(row["growth_per_layer"], row["growth_std"])),
        Column("theory", lambda row: _or_empty(row["theory"])),
        Column("ratio", lambda row: _or_empty(row["ratio"])),
        Column("z", lambda row: "" if math.isnan(row["z"]) else f"{row['z']:+.1f}"),
        Column("verdict", _verdict, left=True),
        *_skip_column(rows, _skips),
        Column("forward", _forward, weight=2),
        Column("all layers", lambda row: number(row["factor_over_depth"], 2), weight=1),
        Column("1e4 in", lambda row: _layers(row["depth_for_1e4"]), weight=3),
        Column("rank", lambda row: number(row["effective_rank"])),
        Column("cosine", _cosine, weight=1),
        Column(
            "W growth",
            lambda row: _with_spread(row["weight_growth_per_layer"], math.nan),
            weight=4,
        ),
        Column(
            "by layer",
            lambda row: sparkline(row["activation_gradient"], 8),
            left=True,
            weight=5,
            picture=True,
        ),
        Column(
            "rank by layer",
            lambda row: sparkline(row["effective_rank_by_layer"], 8),
            left=True,
            weight=6,
            picture=True,
        ),
        Column(
            "std by layer",
            lambda row: sparkline(row["activation_out_std"], 8),
            left=True,
            weight=7,
            picture=True,
        ),
        Column("dead", lambda row: _percent(row["dead_units"]), weight=6),
    ]


def _landscape_columns(keys: list[str]) -> list[Column]:
    return [
        norm_column(),
        *key_columns(keys),
        Column("step", lambda row: count(row["step"])),
        Column("loss", lambda row: _range(row, "loss")),
        Column("moves by", lambda row: _range(row, "gradient_distance")),
        Column("smoothness", lambda row: number(row["effective_smoothness"])),
        Column("eigenvalue", lambda row: number(row["hessian_eigenvalue"])),
        Column("noise", lambda row: number(row["noise_scale"])),
        Column("diverged", lambda row: count(row["diverged"]) if row["diverged"] else "", weight=2),
    ]


def _theory_notes(propagation: Propagation) -> list[str]:
    """Why the theory column is empty, one line a reason."""
    table = propagation.table
    lacking = table[(table["step"] == 0) & (table["theory_note"] != "")]
    return [
        f"no theory for {', '.join(_names(group, propagation))}: {reason}"
        for reason, group in lacking.groupby("theory_note", sort=False)
    ]


def _names(lacking: pd.DataFrame, propagation: Propagation) -> list[str]:
    """Each norm, with the sweep values if it is not lacking at all of them."""
    names: list[str] = []
    everywhere = propagation.table.query("step == 0")["norm"].value_counts()
    for norm, rows in lacking.groupby("norm", sort=False):
        if len(rows) == everywhere[norm]:
            names.append(str(norm))
            continue
        for sweep_point in rows[propagation.keys].to_dict("records"):
            names.append(f"{norm} ({', '.join(map(str, sweep_point.values()))})")
    return names


def _verdict(row: Row) -> str:
    total = row["seeds"] + row["diverged"]
    lost = f"{row['diverged']}/{total} diverged" if row["diverged"] else ""
    return lost if not row["seeds"] else ", ".join(word for word in (row["verdict"], lost) if word)


def _cosine(row: Row) -> str:
    measured, theory = row["example_cosine"], row["example_cosine_theory"]
    return (
        "–"
        if math.isnan(measured)
        else f"{measured:.2f}" + ("" if math.isnan(theory) else f" ({theory:.2f})")
    )


def _skip_column(table: pd.DataFrame, text: Callable[[Row], str]) -> list[Column]:
    """The identity share, where there are residual blocks."""
    return [Column("skip", text)] if (table["per"] == "block").any() else []


def _skips(row: Row) -> str:
    theory = _ends(row["identity_share_theory"])
    return _ends(row["identity_share"]) + (f" ({theory})" if theory else "")


def _ends(values: np.ndarray) -> str:
    return f"{values[0]:.2f}–{values[-1]:.2f}" if len(values) else ""


def _forward(row: Row) -> str:
    measured, theory = row["forward_growth_per_layer"], row["forward_theory"]
    beside = "" if math.isnan(theory) else f" ({_fixed(theory)})"
    return "–" if math.isnan(measured) else f"{_fixed(measured)}{beside}"


def _with_spread(value: float, spread: float) -> str:
    text = _fixed(value)
    return f"{text} ±{spread:.3f}" if math.isfinite(spread) and 5e-4 <= value < 100 else text


def _or_empty(value: float) -> str:
    return "" if math.isnan(value) else _fixed(value)


def _fixed(value: float) -> str:
    """1.47, and not 1.5: three digits where growths are near 1."""
    return f"{value:.3f}" if 5e-4 <= value < 100 else number(value)


def _layers(value: float) -> str:
    if math.isnan(value):
        return ""
    return number(value) if not math.isfinite(value) or value >= 1e4 else f"{value:.0f}"


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{number(100 * share, 2)} %"


def _range(row: Row, name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "–" if math.isnan(low) else f"{number(low)}–{number(high)}"
