"""A sweep in one picture: each norm at each swept value."""

from __future__ import annotations

import altair as alt
import numpy as np
import pandas as pd

from normbench.analysis.groups import sweep_points
from normbench.analysis.rule import mark
from normbench.charts.base import ChartData, chart
from normbench.charts.judged import judged
from normbench.charts.marks import PANEL_WIDTH, WIDTH, Drawn, add_panels, source

ROW = 44  # points a norm
PALE, DEEP = "#eaf1fb", "#0b4a9e"  # black and white text stand out on either by 4.5:1
LIGHT_TEXT = 0.5  # the shade from which on text is white


@chart("matrix", title="Each norm along the sweep", position=3, defines=("best set", "leader"))
def matrix(chart_data: ChartData) -> Drawn | None:
    """The judged metric of each norm at each swept value, and how it stands to the best there."""
    table = chart_data.best
    if not chart_data.keys or table.empty or not np.isfinite(table["value"]).any():
        return None
    key, others = chart_data.keys[0], chart_data.keys[1:]
    look = judged(chart_data.metric)
    columns = ["norm", "rank", "value", "verdict", "difference", "seeds"]
    frame = table[[*columns, *others]].assign(at=table[key].map(str))
    for name in ("value", "difference"):
        frame[name] = look.factor * frame[name]
    frame["shade"] = _shade(table["value"], rate=look.rate)
    frame["text"] = [f"{v:{look.value}}" if np.isfinite(v) else "–" for v in frame["value"]]
    frame["mark"] = [mark(str(word)) for word in frame["verdict"]]
    frame["leads"] = frame["rank"] == 0
    order = sweep_points(table, [key])[1][key].map(str).tolist()
    shown, panels, note = add_panels(frame, others)
    single = len(panels) == 1
    x = alt.X("at:O", title=key, sort=order, axis={"labelAngle": 0, "orient": "top"})
    y = alt.Y("norm:N", title=None, sort=chart_data.norms)
    tooltip = [
        alt.Tooltip("norm:N"),
        alt.Tooltip("at:O", title=key),
        alt.Tooltip("value:Q", format=look.value, title=look.title),
        alt.Tooltip("verdict:N"),
        alt.Tooltip("difference:Q", format=look.form, title=f"to the leader{look.unit}"),
        alt.Tooltip("seeds:Q"),
    ]
    fill = alt.Color("shade:Q", scale={"domain": [0, 1], "range": [PALE, DEEP]}, legend=None)
    ink = alt.condition(
        f"isValid(datum.shade) && datum.shade > {LIGHT_TEXT}",
        alt.value("#ffffff"),
        alt.value("#1f2328"),
    )
    cell = alt.Chart().mark_rect().encode(x=x, y=y, color=fill, tooltip=tooltip)
    number = alt.Chart().mark_text(dy=-7, fontSize=13)
    texts = [
        number.transform_filter("!datum.leads").encode(
            x=x, y=y, text=alt.Text("text:N"), color=ink
        ),
        alt.Chart()
        .mark_text(dy=-7, fontSize=13, fontWeight="bold")
        .transform_filter("datum.leads")
        .encode(x=x, y=y, text=alt.Text("text:N"), color=ink),
        alt.Chart()
        .mark_text(dy=10, fontSize=12)
        .encode(x=x, y=y, text=alt.Text("mark:N"), color=ink),
    ]
    unit = ", %" if look.factor == 100 else ""
    description = (
        f"Cells are {look.title}{unit} over seeds, the darker the better; signs compare with the "
        "leader of the same column: ★ leads, ≈ is similar, ▼ is worse, ? is undecided, · has too "
        f"few seeds.{note}"
    )
    data = source(shown.drop(columns="panel") if single else shown)
    layers = alt.layer(cell, *texts, data=data)
    height = ROW * len(chart_data.norms)
    if single:
        return layers.properties(width=WIDTH, height=height, description=description)
    facet = alt.Facet("panel:N", title=None, sort=panels, header={"labelFontSize": 12})
    one = layers.properties(width=PANEL_WIDTH, height=height)
    panes = one.facet(facet=facet, columns=2).properties(description=description)
    return panes.resolve_axis(x="independent")


def _shade(values: pd.Series, *, rate: bool) -> pd.Series:
    """From 0, the worst of the chart, to 1, the best, on the logarithm of error or of steps."""
    cost = (1 - values if rate else values).replace(np.inf, np.nan)
    with np.errstate(divide="ignore"):
        logs = np.log(cost.clip(lower=max(float(cost.min()), 1e-4)))
    span = float(logs.max() - logs.min())
    return (logs.max() - logs) / span if span > 0 else logs * 0 + 0.5
