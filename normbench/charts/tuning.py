"""How much a norm minds the tuned value."""

from __future__ import annotations

import altair as alt

from normbench.charts.base import ChartData, chart
from normbench.charts.marks import Drawn, add_panels, facet, lines_and_points, told_outstanding


@chart(
    "sensitivity",
    title="Sensitivity to the tuned value",
    position=70,
    scales=("x",),
    defines=("val %", "best"),
)
def sensitivity(chart_data: ChartData) -> Drawn | None:
    """Validation accuracy at each value of the tuned key, on the tuning seeds."""
    if chart_data.sensitivity.empty:
        return None
    columns = ["norm", *chart_data.keys, "tuned", "val_accuracy_mean", "runs", "diverged"]
    shown, panels, note = add_panels(chart_data.sensitivity[columns], chart_data.keys)
    log = bool((shown["tuned"] > 0).all())
    x = alt.X(
        "tuned:Q",
        title=chart_data.tuned_key,
        scale={"type": "log" if log else "linear"},
        axis={"format": "~g", "values": sorted(set(shown["tuned"]))},
    )
    y = alt.Y(
        "val_accuracy_mean:Q",
        title="validation accuracy",
        axis={"format": "%"},
        scale={"domain": [0, 1]},
    )
    tooltip = [
        alt.Tooltip("norm:N"),
        alt.Tooltip("tuned:Q", title=chart_data.tuned_key),
        alt.Tooltip("val_accuracy_mean:Q", format=".1%", title="validation accuracy"),
        alt.Tooltip("runs:Q"),
        alt.Tooltip("diverged:Q"),
    ]
    marks = lines_and_points(chart_data, x, y, tooltip)
    description = (
        "Means over the tuning seeds, a diverged run at chance. The broader a line's high part, "
        f"the less the norm minds the value.{note}{told_outstanding(chart_data)}"
    )
    return facet(marks, shown, panels, description)
