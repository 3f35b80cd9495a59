"""Time to target as a Kaplan-Meier curve."""

from __future__ import annotations

import altair as alt

from normbench.charts.base import Frames, chart
from normbench.charts.marks import Drawn, dash, line_colour, panelled, spread


@chart(
    "survival",
    title="Not yet at target",
    place=30,
    scales=("x",),
    defines=("Kaplan-Meier", "target", "reached"),
)
def survival(frames: Frames) -> Drawn | None:
    """Share of runs that have not yet reached the target (Kaplan-Meier), over steps."""
    if frames.survival.empty:
        return None
    columns = ["norm", *frames.keys, "step", "survival", "at_risk"]
    shown, panels, note = panelled(frames.survival[columns], frames.keys)
    x = alt.X("step:Q", title="step", axis=alt.Axis(format="~s"), scale=alt.Scale(nice=False))
    y = alt.Y(
        "survival:Q",
        title="runs not yet at target",
        axis=alt.Axis(format="%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    line = (
        alt.Chart()
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(x=x, y=y, color=line_colour(frames), strokeDash=dash(frames))
    )
    point = (
        alt.Chart()
        .mark_point(filled=True, size=40)
        .encode(
            x=x,
            y=y,
            color=line_colour(frames),
            tooltip=[
                alt.Tooltip("norm:N"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("survival:Q", format=".0%", title="not yet at target"),
                alt.Tooltip("at_risk:Q", title="runs still on the way"),
            ],
        )
    )
    description = (
        f"Each line starts at 100 % of a norm's runs and falls as they reach "
        f"{100 * frames.target:.1f} % validation accuracy; a line that stays up has runs that "
        "missed it within the budget."
    )
    return spread([line, point], shown, panels, description + note, x="independent")
