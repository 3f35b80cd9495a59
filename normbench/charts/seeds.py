"""The judged metric seed by seed."""

from __future__ import annotations

import altair as alt
import numpy as np

from normbench.charts.base import ChartData, chart
from normbench.charts.judged import judged
from normbench.charts.marks import Drawn, add_panels, colour, facet, norm_axis, shape

MISSED = 1.25  # where a miss stands, in budgets


@chart("seeds", title="Seed by seed", position=32, defines=("seed", "pairs"))
def seeds(chart_data: ChartData) -> Drawn | None:
    """The judged metric of every run: a point a run, a line a seed."""
    table, metric = chart_data.outcomes, chart_data.metric
    if table.empty or table[metric].isna().all():
        return None
    look = judged(metric)
    frame = table[["norm", *chart_data.keys, "seed", metric]].rename(columns={metric: "value"})
    missed = np.isinf(frame["value"])
    frame["missed"] = missed
    frame["value"] = frame["value"].where(~missed, MISSED * table["budget"])
    frame = frame.dropna(subset=["value"])
    frame["shown"] = look.factor * frame["value"]
    frame["value"], scale, axis = look.axis(frame["value"])
    shown, panels, note = add_panels(frame, chart_data.keys)
    order = chart_data.norms
    if len(panels) == 1 and len(chart_data.best):
        order = list(chart_data.best.sort_values("rank")["norm"])
    x = alt.X("norm:N", title=None, sort=order, axis=norm_axis(chart_data))
    y = alt.Y("value:Q", scale=scale, axis=axis)
    line = (
        alt.Chart()
        .mark_line(strokeWidth=1, opacity=0.5, aria=False)
        .encode(x=x, y=y, detail=alt.Detail("seed:N"), color=alt.ColorValue("#8a939e"))
    )
    tooltip = [
        alt.Tooltip("norm:N"),
        alt.Tooltip("seed:N"),
        alt.Tooltip("shown:Q", format=look.value, title=look.title),
    ]
    colours, shapes = colour(chart_data, legend=None), shape(chart_data, legend=None)
    marks: list[alt.Chart] = [line]
    for of, filled in (("!datum.missed", True), ("datum.missed", False)):
        if (frame["missed"] != filled).any():  # of no points at all an axis would know no ends
            point = alt.Chart().mark_point(size=70, opacity=0.85, filled=filled)
            marks.append(
                point.transform_filter(of).encode(
                    x=x, y=y, color=colours, shape=shapes, tooltip=tooltip
                )
            )
    description = (
        "Lines join the runs of one seed: where they all go the same way, the norms differ under "
        "every seed. Up is better"
        + (", and the axis is a logarithm of the error (1 − value)." if look.rate else ".")
        + (" Hollow points missed the target within the budget." if missed.any() else "")
    )
    return facet(marks, shown, panels, description + note)
