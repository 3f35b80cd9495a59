"""How much a norm minds the tuned value."""

from __future__ import annotations

import altair as alt

from normbench.charts.base import Frames, chart
from normbench.charts.marks import Drawn, lines_and_points, panelled, spread


@chart(
    "sensitivity",
    title="Sensitivity to the tuned value",
    place=70,
    scales=("x",),
    defines=("val %", "best"),
)
def sensitivity(frames: Frames) -> Drawn | None:
    """Validation accuracy at each value of the tuned key, on the tuning seeds."""
    if frames.sensitivity.empty:
        return None
    columns = ["norm", *frames.keys, "tuned", "val_accuracy_mean", "runs", "diverged"]
    shown, panels, note = panelled(frames.sensitivity[columns], frames.keys)
    log = bool((shown["tuned"] > 0).all())
    x = alt.X(
        "tuned:Q",
        title=frames.tuned_key,
        scale=alt.Scale(type="log" if log else "linear"),
        axis=alt.Axis(format="~g", values=sorted(set(shown["tuned"]))),
    )
    y = alt.Y(
        "val_accuracy_mean:Q",
        title="validation accuracy",
        axis=alt.Axis(format="%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    tooltip = [
        alt.Tooltip("norm:N"),
        alt.Tooltip("tuned:Q", title=frames.tuned_key),
        alt.Tooltip("val_accuracy_mean:Q", format=".1%", title="validation accuracy"),
        alt.Tooltip("runs:Q"),
        alt.Tooltip("diverged:Q"),
    ]
    marks = lines_and_points(frames, x, y, tooltip)
    description = (
        "Means over the tuning seeds, a diverged run at chance. The broader a line's high part, "
        f"the less the norm minds the value.{note}"
    )
    return spread(marks, shown, panels, description)
