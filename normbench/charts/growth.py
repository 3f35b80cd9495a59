"""Growth of the gradient per layer at initialization, measured and in theory."""

from __future__ import annotations

import altair as alt
import numpy as np

from normbench.charts.base import ChartData, chart
from normbench.charts.marks import Drawn, add_panels, colour, facet, norm_axis, shape


@chart(
    "growth",
    title="Growth per layer against theory",
    position=50,
    scales=("y",),
    defines=("growth/layer", "theory"),
)
def growth(chart_data: ChartData) -> Drawn | None:
    """Growth of the squared gradient per layer toward the input at step 0, beside theory."""
    frame = chart_data.growth.drop(columns=["theory_note"], errors="ignore")
    if frame.empty or not (np.isfinite(frame["growth"]) & (frame["growth"] > 0)).any():
        return None
    shown, panels, note = add_panels(frame, chart_data.keys)
    # No logarithm of what has vanished altogether.
    shown["growth"] = shown["growth"].where(shown["growth"] > 0, np.nan)
    x = alt.X("norm:N", title=None, sort=chart_data.norms, axis=norm_axis(chart_data))
    axis = {"title": "growth per layer", "format": "~g"}
    scale = {"type": "log", "nice": False, "padding": 14}
    one = alt.Chart().mark_rule(aria=False, strokeDash=[2, 4]).encode(y=alt.datum(1))
    theory = (
        alt.Chart()
        .mark_tick(thickness=3, size=56)
        .encode(
            x=x,
            y=alt.Y("theory:Q", axis=axis, scale=scale),
            tooltip=[alt.Tooltip("norm:N"), alt.Tooltip("theory:Q", format=".4g")],
        )
    )
    measured = (
        alt.Chart()
        .mark_point(size=80, opacity=0.75, filled=True)
        .encode(
            x=x,
            y=alt.Y("growth:Q", axis=axis, scale=scale),
            color=colour(chart_data, legend=None),
            shape=shape(chart_data, legend=None),
            tooltip=[
                alt.Tooltip("norm:N"),
                alt.Tooltip("seed:N"),
                alt.Tooltip("growth:Q", format=".4g", title="measured"),
                alt.Tooltip("theory:Q", format=".4g"),
            ],
        )
    )
    description = (
        "Points are seeds as measured, bars are what theory says where it has a value. At 1 (the "
        "dotted rule) gradients keep their size; below they vanish toward the input, above they "
        f"explode.{note}"
    )
    # A layer without a single value has no extent to be drawn over.
    known = [theory] if np.isfinite(shown["theory"].astype(float)).any() else []
    return facet([one, *known, measured], shown, panels, description)
