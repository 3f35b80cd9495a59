"""Time to target as a Kaplan-Meier curve."""

from __future__ import annotations

import altair as alt
import pandas as pd

from normbench.charts.base import Frames, chart
from normbench.charts.marks import Drawn, dash, joined, line_colour, listed, panelled, spread


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
    by = ["norm", *frames.keys]
    table = frames.survival[columns]
    reached = table.groupby(by, dropna=False)["survival"].transform("min") < 1
    if not reached.any():
        return None
    drawn = [norm for norm in frames.norms if norm in set(table.loc[reached, "norm"])]
    never = _never(table[~reached], frames)
    shown, panels, note = panelled(table[reached], frames.keys)
    x = alt.X("step:Q", title="step", axis=alt.Axis(format=",d"), scale=alt.Scale(nice=False))
    y = alt.Y(
        "survival:Q",
        title="runs not yet at target",
        axis=alt.Axis(format="%"),
        scale=alt.Scale(domain=[0, 1]),
    )
    line = (
        alt.Chart()
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(x=x, y=y, color=line_colour(frames, drawn), strokeDash=dash(frames))
    )
    point = (
        alt.Chart()
        .mark_point(filled=True, size=40)
        .encode(
            x=x,
            y=y,
            color=line_colour(frames, drawn),
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
        f"missed it within the budget.{never}"
    )
    return spread([line, point], shown, panels, description + note, x="independent")


def _never(lines: pd.DataFrame, frames: Frames) -> str:
    """Words for the lines that would stay up from end to end, and are not drawn."""
    if lines.empty:
        return ""
    if not frames.keys:
        return f" Under {listed(lines['norm'].unique())} no run reached it: not drawn."
    points = lines[["norm", *frames.keys]].drop_duplicates()
    told = []
    for norm, own in points.groupby("norm", sort=False):
        places = [", ".join(map(str, row)) for row in own[frames.keys].to_numpy()]
        told.append(f"{listed([norm])} at {joined(places)}")
    return f" Not drawn, as no run reached it: {'; '.join(told)}."
