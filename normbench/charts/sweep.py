"""Validation accuracy against a swept key."""

from __future__ import annotations

import altair as alt
import numpy as np

from normbench.analysis.groups import sweep_points
from normbench.charts.base import ChartData, chart
from normbench.charts.marks import (
    Drawn,
    add_panels,
    colour,
    facet,
    faint,
    line_colour,
    lines_and_points,
    outstanding,
    told_outstanding,
)


@chart("sweep", title="Accuracy against the swept key", position=80, defines=("val %", "reached"))
def sweep(chart_data: ChartData) -> Drawn | None:
    """Final validation accuracy at each value of the first swept key."""
    table = chart_data.convergence
    if not chart_data.keys or table.empty or not np.isfinite(table["val_accuracy_mean"]).any():
        return None
    key, others = chart_data.keys[0], chart_data.keys[1:]
    mean, std = table["val_accuracy_mean"], table["val_accuracy_std"].fillna(0)
    frame = table[["norm", *others, "val_accuracy_mean", "runs", "reached"]].assign(
        value=table[key].map(str), low=mean - std, high=mean + std
    )
    order = sweep_points(table, [key])[1][key].map(str).tolist()
    shown, panels, note = add_panels(frame, others)
    x = alt.X("value:O", title=key, sort=order, axis={"labelAngle": 0})
    axis = {"title": "validation accuracy", "format": "%"}
    scale = {"zero": False}
    y = alt.Y("val_accuracy_mean:Q", axis=axis, scale=scale)
    bar = (
        alt.Chart()
        .mark_rule(opacity=0.6)
        .encode(
            x=x,
            y=alt.Y("low:Q", axis=axis, scale=scale),
            y2=alt.Y2("high:Q"),
            color=line_colour(chart_data, legend=False)
            if outstanding(chart_data)
            else colour(chart_data),
            **faint(chart_data, "opacity", 0.6, 0.2),
        )
    )
    tooltip = [
        alt.Tooltip("norm:N"),
        alt.Tooltip("value:O", title=key),
        alt.Tooltip("val_accuracy_mean:Q", format=".1%", title="validation accuracy"),
        alt.Tooltip("reached:Q", title="reached the target"),
        alt.Tooltip("runs:Q"),
    ]
    marks = lines_and_points(chart_data, x, y, tooltip)
    description = (
        f"Means over seeds by {key}, with one standard deviation either way; a diverged run counts "
        f"as chance.{note}{told_outstanding(chart_data)}"
    )
    return facet([bar, *marks], shown, panels, description)
