"""Spread of the activations by layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from normbench.charts.base import ChartData, chart
from normbench.charts.marks import (
    Drawn,
    add_panels,
    facet,
    layers_left_out,
    lines_and_points,
    told_outstanding,
)

FEW_LAYERS = 6


@chart(
    "activations",
    title="Activation spread",
    position=60,
    scales=("y",),
    defines=("activation std", "step"),
)
def activations(chart_data: ChartData) -> Drawn | None:
    """Standard deviation of the activation function's output by layer, first and last probe."""
    if chart_data.layers.empty:
        return None
    text = (
        "Medians over the seeds that had not diverged. A line that falls from left to right has "
        "activations that fade with depth; one that rises has activations that blow up."
    )
    tooltip = alt.Tooltip("std:Q", format=".3g")
    columns = {"activation_out_std": "std"}
    return by_layer(chart_data, columns, "std of activations", [tooltip], text)


def by_layer(
    chart_data: ChartData,
    columns: Mapping[str, str],
    title: str,
    tooltips: Sequence[alt.Tooltip],
    text: str,
) -> Drawn:
    """A quantity by layer on a logarithmic axis, at the first and the last probe.

    columns: of ``chart_data.layers`` -> their names in the chart, the quantity first; title: of its
    axis; tooltips: of these columns; text: what the chart shows.
    """
    value = next(iter(columns.values()))
    frame = chart_data.layers[["norm", *chart_data.keys, "step", "layer", "runs", *columns]]
    shown, panels, note = add_panels(frame.rename(columns=columns), chart_data.keys, most=6)
    shown, absent = ends(shown, panels)
    shown[value] = shown[value].where(shown[value] > 0, np.nan)
    order = list(dict.fromkeys(shown["panel"]))
    axis: dict[str, Any] = {"tickMinStep": 1, "format": "d"}
    layers = sorted({int(layer) for layer in shown["layer"]})
    if len(layers) <= FEW_LAYERS:  # between so few Vega would put halves
        axis["values"] = layers
    x = alt.X("layer:Q", title="layer, 1 at the input", axis=axis)
    y = alt.Y(
        f"{value}:Q",
        title=title,
        axis={"format": "~g"},
        scale={"type": "log", "nice": False, "padding": 10},
    )
    about = [alt.Tooltip("norm:N"), alt.Tooltip("step:Q"), alt.Tooltip("layer:Q")]
    marks = lines_and_points(chart_data, x, y, [*about, *tooltips, alt.Tooltip("runs:Q")], size=40)
    left_out = layers_left_out(chart_data.layers, steps=False)
    description = f"{text}{absent}{note}{left_out}{told_outstanding(chart_data)}"
    return facet(marks, shown, order, description)


def ends(frame: pd.DataFrame, panels: list[str]) -> tuple[pd.DataFrame, str]:
    """The first and the last probed step of each panel, as panels of their own.

    Returns also words that say which norms have left by the last step.
    """
    parts, absent = [], ""
    for panel in panels:
        own = frame[frame["panel"] == panel]
        for step in dict.fromkeys([own["step"].min(), own["step"].max()]):
            name = ", ".join(filter(None, [panel, f"step {step:.0f}"]))
            part = own[own["step"] == step]
            parts.append(part.assign(panel=name))
            gone = own.loc[~own["norm"].isin(part["norm"]), "norm"].unique()
            absent += f" Not measured at {name}: {', '.join(gone)}." if len(gone) else ""
    return pd.concat(parts, ignore_index=True), absent
