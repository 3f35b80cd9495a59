"""How alike the examples of a batch are, by layer."""

from __future__ import annotations

import altair as alt
import numpy as np

from normbench.charts.activations import ends
from normbench.charts.base import Frames, chart
from normbench.charts.marks import (
    Drawn,
    layers_left_out,
    lines_and_points,
    panelled,
    spread,
)


@chart(
    "likeness",
    title="Effective rank of a batch",
    place=65,
    scales=("y",),
    defines=("effective rank", "example cosine", "step"),
)
def likeness(frames: Frames) -> Drawn | None:
    """Effective rank of a batch's activations by layer, first and last probe."""
    if frames.layers.empty or frames.layers["effective_rank"].isna().all():
        return None
    columns = ["norm", *frames.keys, "step", "layer", "runs", "effective_rank", "example_cosine"]
    frame = frames.layers[columns].rename(
        columns={"effective_rank": "rank", "example_cosine": "cosine"}
    )
    shown, panels, note = panelled(frame, frames.keys, most=6)
    shown, absent = ends(shown, panels)
    shown["rank"] = shown["rank"].where(shown["rank"] > 0, np.nan)
    order = list(dict.fromkeys(shown["panel"]))
    x = alt.X("layer:Q", title="layer, 1 at the input", axis=alt.Axis(tickMinStep=1, format="d"))
    y = alt.Y(
        "rank:Q",
        title="effective rank",
        axis=alt.Axis(format="~g"),
        scale=alt.Scale(type="log", nice=False, padding=10),
    )
    tooltip = [
        alt.Tooltip("norm:N"),
        alt.Tooltip("step:Q"),
        alt.Tooltip("layer:Q"),
        alt.Tooltip("rank:Q", format=".3g", title="effective rank"),
        alt.Tooltip("cosine:Q", format=".3f", title="mean cosine"),
        alt.Tooltip("runs:Q"),
    ]
    marks = lines_and_points(frames, x, y, tooltip, size=40)
    description = (
        "Medians over the seeds that had not diverged. At 1 all examples of a batch look the same "
        "to the layer, and no layer after it can tell them apart, however well gradients pass."
        f"{absent}{note}{layers_left_out(frames.layers, steps=False)}"
    )
    return spread(marks, shown, order, description)
