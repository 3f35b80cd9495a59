"""Training time a step."""

from __future__ import annotations

import altair as alt
import numpy as np

from normbench.charts.base import ChartData, chart
from normbench.charts.marks import HEIGHT, Drawn, add_panels, colour, facet

ROW = 18  # points a norm, at least
WORDS = 130  # points at the right for the numbers


@chart("cost", title="Time per step", position=90, defines=("time/step",))
def cost(chart_data: ChartData) -> Drawn | None:
    """Training time per step by norm: the median over runs, as in the tables, and the range."""
    table = chart_data.outcomes
    if table.empty or not np.isfinite(table["seconds_per_step"]).any():
        return None
    by = ["norm", *chart_data.keys]
    times = (1000 * table["seconds_per_step"]).groupby([table[name] for name in by], sort=False)
    frame = times.agg(["median", "min", "max", "count"]).reset_index()
    shown, panels, note = add_panels(frame, chart_data.keys)
    shown["text"] = [
        f"{median:.3g} ({low:.3g} to {high:.3g})" if low < high else f"{median:.3g}"
        for median, low, high in zip(shown["median"], shown["min"], shown["max"], strict=True)
    ]
    single = len(panels) == 1
    y = alt.Y("norm:N", title=None, sort=chart_data.norms)
    axis = {"title": "ms per step"}
    room = {"range": [0, {"expr": f"width - {WORDS}"}]} if single else {}
    tooltip = [
        alt.Tooltip("norm:N"),
        alt.Tooltip("median:Q", format=".3g", title="ms per step, median"),
        alt.Tooltip("min:Q", format=".3g", title="fastest run"),
        alt.Tooltip("max:Q", format=".3g", title="slowest run"),
        alt.Tooltip("count:Q", title="runs"),
    ]
    bar = (
        alt.Chart()
        .mark_bar(height={"band": 0.6})
        .encode(
            y=y,
            x=alt.X("median:Q", axis=axis, scale=room),
            color=colour(chart_data, legend=None),
            tooltip=tooltip,
        )
    )
    # Grey, so that it stands out from every bar and from either page.
    whisker = (
        alt.Chart()
        .mark_rule(strokeWidth=3, color="#8a939e")
        .encode(y=y, x=alt.X("min:Q", axis=axis, scale=room), x2=alt.X2("max:Q"))
    )
    marks: list[alt.Chart] = [bar, whisker]
    if single:
        right = alt.XValue({"expr": f"width - {WORDS - 10}"})
        marks.append(
            alt.Chart().mark_text(align="left").encode(y=y, x=right, text=alt.Text("text:N"))
        )
    description = (
        "Bars are medians over runs, the grey lines and the brackets the fastest and the slowest "
        "run. Forward, backward and update, without loading data, evaluating or probing. Runs that "
        f"train side by side on one machine slow each other down.{note}"
    )
    drawn = facet(marks, shown, panels, description)
    return drawn.properties(height=max(HEIGHT, ROW * len(chart_data.norms))) if single else drawn
