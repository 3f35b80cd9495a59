"""Gradients by layer and over time."""

from __future__ import annotations

import altair as alt
import numpy as np

from normbench.charts.base import ChartData, chart
from normbench.charts.marks import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    Drawn,
    add_panels,
    layers_left_out,
    source,
)


@chart(
    "gradients",
    title="Gradients by layer and over time",
    position=40,
    defines=("first layer", "growth/layer", "step"),
)
def gradients(chart_data: ChartData) -> Drawn | None:
    """Norm of dL/dz by layer and step, one panel a norm, all on one logarithmic colour scale."""
    if chart_data.layers.empty:
        return None
    columns = ["norm", *chart_data.keys, "step", "layer", "runs", "activation_gradient"]
    shown, panels, note = add_panels(
        chart_data.layers[columns], chart_data.keys, most=max(1, 12 // len(chart_data.norms))
    )
    shown = shown.rename(columns={"activation_gradient": "gradient"})
    # No logarithm: the cell stays empty.
    shown["gradient"] = shown["gradient"].where(shown["gradient"] > 0, np.nan)
    if chart_data.keys:
        shown["panel"] = shown["norm"].astype(str) + ", " + shown["panel"].astype(str)
        order = [f"{norm}, {panel}" for panel in panels for norm in chart_data.norms]
    else:
        shown["panel"], order = shown["norm"], chart_data.norms
    cell = (
        alt.Chart()
        .mark_rect(aria=False)
        .encode(
            x=alt.X("step:O", title="step", axis={"labelAngle": 0}),
            y=alt.Y("layer:O", title="layer, 1 at the input"),
            color=alt.Color(
                "gradient:Q",
                scale={"type": "log", "scheme": "viridis"},
                legend={
                    "title": "norm of dL/dz",
                    "orient": "top",
                    "gradientLength": 220,
                    "format": ".0e",
                },
            ),
            tooltip=[
                alt.Tooltip("panel:N", title="norm"),
                alt.Tooltip("step:O"),
                alt.Tooltip("layer:O"),
                alt.Tooltip("gradient:Q", format=".3g", title="norm of dL/dz"),
                alt.Tooltip("runs:Q"),
            ],
        )
    )
    description = (
        "Rows are layers, columns are probed steps; the colour is the median over the seeds that "
        "had not diverged. A panel whose colour changes from top to bottom has a gradient that "
        "vanishes or explodes on its way to the input; one of zero, or beyond floating point, is "
        f"not drawn.{note}{layers_left_out(chart_data.layers)}"
    )
    data = source(shown.drop(columns="norm"))
    small = len(order) > 12
    width, height = (130, 90) if small else (PANEL_WIDTH, PANEL_HEIGHT)
    one = alt.layer(cell, data=data).properties(width=width, height=height)
    facet = alt.Facet("panel:N", title=None, sort=order, header={"labelFontSize": 12})
    panes = one.facet(facet=facet, columns=4 if small else 2).properties(description=description)
    panes = panes.resolve_axis(x="independent")
    # Sweep points differ in their budgets, and so in the steps that are probed.
    return panes.resolve_scale(x="independent") if chart_data.keys else panes
