"""What enters the activation functions, as quantiles over training."""

from __future__ import annotations

import altair as alt
import pandas as pd

from normbench.analysis.curves import thinned
from normbench.analysis.signal import QUANTILES
from normbench.charts.base import ChartData, chart
from normbench.charts.marks import (
    MOST_PANELS,
    PANEL_HEIGHT,
    PANEL_WIDTH,
    Drawn,
    add_panels,
    colour,
    source,
)

MOST_LAYERS = 3


@chart(
    "quantiles",
    title="Quantiles of activations over training",
    position=62,
    defines=("activation quantiles", "step"),
)
def quantiles(chart_data: ChartData) -> Drawn | None:
    """Median, middle half and middle 90 % of what enters the activation function, by layer."""
    layers = chart_data.layers
    if layers.empty or layers["activation_in_q50"].isna().all():
        return None
    frame = layers[["norm", *chart_data.keys, "step", "layer", *QUANTILES]]
    room = max(1, MOST_PANELS // (MOST_LAYERS * len(chart_data.norms)))
    frame, points, note = add_panels(frame, chart_data.keys, most=room)
    parts, order = [], []
    for sweep_point in points:
        for norm in chart_data.norms:
            own = frame[(frame["panel"] == sweep_point) & (frame["norm"] == norm)]
            known = sorted(own["layer"].unique())
            for layer in (known[at] for at in thinned(len(known), MOST_LAYERS)):
                panel = ", ".join(filter(None, [norm, sweep_point, f"layer {layer}"]))
                parts.append(own[own["layer"] == layer].assign(panel=panel))
                order.append(panel)
    shown = pd.concat(parts, ignore_index=True).rename(
        columns={name: name.rpartition("_")[2] for name in QUANTILES}
    )
    x = alt.X("at:Q", title="step + 1", scale={"type": "log", "nice": False})
    look = colour(chart_data, legend=None)
    title = "into the activation"
    bands = [
        alt.Chart()
        .mark_area(opacity=opacity)
        .encode(x=x, y=alt.Y(f"{low}:Q", title=title), y2=f"{high}:Q", color=look)
        for low, high, opacity in (("q05", "q95", 0.18), ("q25", "q75", 0.35))
    ]
    tips = [alt.Tooltip("step:Q"), *(alt.Tooltip(f"{q}:Q", format=".3g") for q in _SHORT)]
    line = alt.Chart().mark_line(strokeWidth=2)
    median = line.encode(x=x, y=alt.Y("q50:Q", title=title), color=look, tooltip=tips)
    description = (
        "The line is the median, the darker band the middle half and the lighter one the middle "
        "90 % of the values, medians over the seeds that had not diverged; the first, a middle and "
        "the last layer of each norm. A band that narrows to a line has lost its signal, one far "
        f"from zero saturates its activation function or never reaches it.{note}"
    )
    data = source(shown.assign(at=shown["step"] + 1))
    one = alt.layer(*bands, median, data=data).properties(width=PANEL_WIDTH, height=PANEL_HEIGHT)
    facet = alt.Facet("panel:N", title=None, sort=order, header={"labelFontSize": 12})
    panes = one.facet(facet=facet, columns=MOST_LAYERS).properties(description=description)
    # A norm without bounds would flatten all others.
    return panes.resolve_axis(x="independent").resolve_scale(y="independent")


_SHORT = tuple(name.rpartition("_")[2] for name in QUANTILES)
