"""Learning curves by family of norm: of many norms, a panel each for those of a kind."""

from __future__ import annotations

import altair as alt
import pandas as pd

from normbench.charts.base import ChartData
from normbench.charts.marks import (
    GREY,
    PANEL_HEIGHT,
    Drawn,
    all_dashes,
    apart,
    colour,
    facet,
    listed,
    outstanding,
)

LABEL, CHARACTER = 12, 5.6  # points between names, and of a letter, about
MOST = 120  # points for the names


def by_family(chart_data: ChartData) -> Drawn | None:
    """Validation accuracy over steps, one panel a family of norms: medians over seeds."""
    families = chart_data.families
    if chart_data.accuracy.empty or chart_data.keys or len(set(families.values())) < 2:
        return None
    lines = chart_data.accuracy[["norm", "step", "median"]].dropna()
    own = lines.assign(panel=lines["norm"].map(families), kind="line")
    order = sorted(set(families.values()), key=list(families.values()).index)
    beside = [
        lines[lines["norm"] == norm].assign(panel=panel, kind="beside")
        for panel in order
        for norm in outstanding(chart_data) or [chart_data.baseline]
        if families.get(norm) != panel
    ]
    low, high = float(lines["median"].min()) - 0.02, 1.0
    names = []
    for panel in order:
        here = own[own["panel"] == panel].sort_values("step")
        ends = here.groupby("norm")["median"].last().sort_values()
        wanted = PANEL_HEIGHT * (ends - low) / (high - low)
        heights = apart(wanted.tolist(), LABEL, PANEL_HEIGHT)
        at = [low + (high - low) * height / PANEL_HEIGHT for height in heights]
        names.append(pd.DataFrame({"norm": ends.index, "at": at, "panel": panel, "kind": "name"}))
    shown = pd.concat([own, *beside, *names])
    room = min(16 + CHARACTER * max(map(len, chart_data.norms)), MOST)
    steps = {"format": ",d", "grid": False, "tickCount": 4}
    left = {"nice": False, "range": [0, {"expr": f"child_width - {room:.0f}"}]}
    x = alt.X("step:Q", title="step", axis=steps, scale=left)
    scale, axis = {"domain": [low, high], "nice": False}, {"format": "%", "tickCount": 5}
    y = alt.Y("median:Q", title="validation accuracy", axis=axis, scale=scale)
    tooltip = [alt.Tooltip("norm:N"), alt.Tooltip("step:Q"), alt.Tooltip("median:Q", format=".1%")]
    line = alt.Chart().mark_line(strokeWidth=2)
    right = alt.XValue({"expr": f"child_width - {room - 8:.0f}"})
    marks = [
        alt.Chart()
        .mark_line(strokeWidth=1.5, strokeDash=[2, 2], color=GREY)
        .transform_filter("datum.kind === 'beside'")
        .encode(x=x, y=y, detail=alt.Detail("norm:N"), tooltip=tooltip),
        line.transform_filter("datum.kind === 'line'").encode(
            x=x,
            y=y,
            color=colour(chart_data, legend=None),
            strokeDash=all_dashes(chart_data),
            tooltip=tooltip,
        ),
        alt.Chart()
        .mark_text(align="left", baseline="middle", fontSize=10, limit=MOST - 8)
        .transform_filter("datum.kind === 'name'")
        .encode(x=right, y=alt.Y("at:Q", axis=axis, scale=scale), text=alt.Text("norm:N")),
    ]
    few = listed(outstanding(chart_data) or [chart_data.baseline])
    description = (
        f"Lines are medians over seeds. Dotted grey, in the panels of other families: {few}. "
        "A family is what a norm takes its statistics over, or what it changes."
    )
    return facet(marks, shown, order, description, x="independent")
