"""How alike the examples of a batch are, by layer."""

from __future__ import annotations

import altair as alt

from normbench.charts.activations import by_layer
from normbench.charts.base import ChartData, chart
from normbench.charts.marks import Drawn


@chart(
    "likeness",
    title="Effective rank of a batch",
    position=65,
    scales=("y",),
    defines=("effective rank", "example cosine", "step"),
)
def likeness(chart_data: ChartData) -> Drawn | None:
    """Effective rank of a batch's activations by layer, first and last probe."""
    if chart_data.layers.empty or chart_data.layers["effective_rank"].isna().all():
        return None
    text = (
        "Medians over the seeds that had not diverged. At 1 all examples of a batch look the same "
        "to the layer, and no layer after it can tell them apart, however well gradients pass."
    )
    tooltips = [
        alt.Tooltip("rank:Q", format=".3g", title="effective rank"),
        alt.Tooltip("cosine:Q", format=".3f", title="mean cosine"),
    ]
    columns = {"effective_rank": "rank", "example_cosine": "cosine"}
    return by_layer(chart_data, columns, "effective rank", tooltips, text)
