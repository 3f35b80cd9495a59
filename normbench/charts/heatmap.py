"""Gradients by layer and over time."""

from __future__ import annotations

import altair as alt
import numpy as np

from normbench.charts.base import Frames, chart
from normbench.charts.marks import (
    PANEL_HEIGHT,
    PANEL_WIDTH,
    Drawn,
    layers_left_out,
    panelled,
    source,
)


@chart(
    "gradients",
    title="Gradients by layer and over time",
    place=40,
    defines=("first layer", "growth/layer", "step"),
)
def gradients(frames: Frames) -> Drawn | None:
    """Norm of dL/dz by layer and step, one panel a norm, all on one logarithmic colour scale."""
    if frames.layers.empty:
        return None
    columns = ["norm", *frames.keys, "step", "layer", "runs", "activation_gradient"]
    shown, panels, note = panelled(
        frames.layers[columns], frames.keys, most=max(1, 12 // len(frames.norms))
    )
    shown = shown.rename(columns={"activation_gradient": "gradient"})
    # No logarithm: the cell stays empty.
    shown["gradient"] = shown["gradient"].where(shown["gradient"] > 0, np.nan)
    if frames.keys:
        shown["panel"] = shown["norm"].astype(str) + ", " + shown["panel"].astype(str)
        order = [f"{norm}, {panel}" for panel in panels for norm in frames.norms]
    else:
        shown["panel"], order = shown["norm"], frames.norms
    cell = (
        alt.Chart()
        .mark_rect(aria=False)
        .encode(
            x=alt.X("step:O", title="step", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("layer:O", title="layer, 1 at the input"),
            color=alt.Color(
                "gradient:Q",
                scale=alt.Scale(type="log", scheme="viridis"),
                legend=alt.Legend(
                    title="norm of dL/dz", orient="top", gradientLength=220, format=".0e"
                ),
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
        f"not drawn.{note}{layers_left_out(frames.layers)}"
    )
    data = source(shown.drop(columns="norm"))
    one = alt.layer(cell, data=data).properties(width=PANEL_WIDTH, height=PANEL_HEIGHT)
    facet = alt.Facet("panel:N", title=None, sort=order, header=alt.Header(labelFontSize=12))
    panes = one.facet(facet=facet, columns=2).properties(description=description)
    panes = panes.resolve_axis(x="independent")
    # Sweep points differ in their budgets, and so in the steps that are probed.
    return panes.resolve_scale(x="independent") if frames.keys else panes
