"""Time to target as a Kaplan-Meier curve."""

from __future__ import annotations

import altair as alt
import pandas as pd

from normbench.charts.base import ChartData, chart
from normbench.charts.marks import (
    Drawn,
    add_panels,
    dash,
    facet,
    faint,
    joined,
    line_colour,
    listed,
    outstanding,
    pointer,
    told_outstanding,
)


@chart(
    "survival",
    title="Not yet at target",
    position=30,
    scales=("x",),
    defines=("Kaplan-Meier", "target", "reached"),
)
def survival(chart_data: ChartData) -> Drawn | None:
    """Share of runs that have not yet reached the target (Kaplan-Meier), over steps."""
    if chart_data.survival.empty:
        return None
    columns = ["norm", *chart_data.keys, "step", "survival", "at_risk"]
    by = ["norm", *chart_data.keys]
    table = chart_data.survival[columns]
    reached = table.groupby(by, dropna=False)["survival"].transform("min") < 1
    if not reached.any():
        return None
    drawn = [norm for norm in chart_data.norms if norm in set(table.loc[reached, "norm"])]
    never = _never(table[~reached], chart_data)
    shown, panels, note = add_panels(table[reached], chart_data.keys)
    x = alt.X("step:Q", title="step", axis={"format": ",d"}, scale={"nice": False})
    y = alt.Y(
        "survival:Q",
        title="runs not yet at target",
        axis={"format": "%"},
        scale={"domain": [0, 1]},
    )
    line = (
        alt.Chart()
        .mark_line(interpolate="step-after", strokeWidth=2)
        .encode(
            x=x,
            y=y,
            color=line_colour(chart_data, drawn),
            strokeDash=dash(chart_data),
            detail=alt.Detail("norm:N"),
            **faint(chart_data, "opacity", 1, 0.5),
        )
    )
    point = (
        alt.Chart()
        .mark_point(filled=True, size=40)
        .encode(
            x=x,
            y=y,
            color=line_colour(chart_data, drawn),
            tooltip=[
                alt.Tooltip("norm:N"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("survival:Q", format=".0%", title="not yet at target"),
                alt.Tooltip("at_risk:Q", title="runs still on the way"),
            ],
            **faint(chart_data, "opacity", 1, 0.3),
        )
    )
    layers = [line, point]
    if few := outstanding(chart_data):
        above = line.transform_filter(alt.FieldOneOfPredicate(field="norm", oneOf=few))
        layers = [line, above, point.add_params(pointer())]
    description = (
        f"Each line starts at 100 % of a norm's runs and falls as they reach "
        f"{100 * chart_data.target:.1f} % validation accuracy; a line that stays up has runs that "
        f"missed it within the budget.{never}{told_outstanding(chart_data)}"
    )
    return facet(layers, shown, panels, description + note, x="independent")


def _never(lines: pd.DataFrame, chart_data: ChartData) -> str:
    """Words for the lines that would stay up from end to end, and are not drawn."""
    if lines.empty:
        return ""
    if not chart_data.keys:
        return f" Under {listed(lines['norm'].unique())} no run reached it: not drawn."
    points = lines[["norm", *chart_data.keys]].drop_duplicates()
    told = []
    for norm, own in points.groupby("norm", sort=False):
        values = [tuple(row.values()) for row in own[chart_data.keys].to_dict("records")]
        at = [str(row[0]) if len(row) == 1 else f"({', '.join(map(str, row))})" for row in values]
        told.append(f"{listed([norm])} at {joined(at)}")
    return f" Not drawn, as no run reached it: {'; '.join(told)}."
