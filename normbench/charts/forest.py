"""The difference of each norm to the leader."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from normbench.analysis.rule import mark
from normbench.charts.base import ChartData, chart
from normbench.charts.judged import FAR, Judged, judged
from normbench.charts.marks import (
    MANY,
    PANEL_WIDTH,
    WIDTH,
    Drawn,
    add_panels,
    colour,
    shape,
    source,
)

ROW, LOW_ROW = 46, 22  # points a norm, and where there are many
WORDS = 132  # points at the right for the difference and the verdict


@chart("forest", title="Difference to the leader", position=4, defines=("best set", "leader"))
def forest(chart_data: ChartData) -> Drawn | None:
    """Difference of each norm to the leader, with its interval and what it means."""
    table = chart_data.best
    if table.empty or not np.isfinite(table["value"]).any():
        return None
    shown, panels, note = add_panels(table, chart_data.keys)
    look = judged(chart_data.metric)
    shown = _placed(shown, look)
    order = list(dict.fromkeys(shown.sort_values("rank", kind="stable")["norm"]))
    single = len(panels) == 1
    shown["far"] = _far(shown)
    for name in ("difference", "ci_low", "ci_high"):
        # Where there is no interval, nothing is seen beside the point: of nothing but nulls an axis
        # would know no ends.
        ends = shown[name].fillna(shown["difference"])
        shown[f"{name}_shown"] = ends.where(~shown["far"])
    _close(shown)
    # In panels each has the axis that its own numbers need.
    scale = _scale(shown) if single else {"nice": False, "padding": 14}
    axis = {"title": _axis_title(look, shown if single else None), "format": "~g", "tickCount": 5}
    y = alt.Y("norm:N", title=None, sort=order if single or len(order) > MANY else chart_data.norms,
              axis={"labelLimit": 220})  # fmt: skip
    if many_rows := single and len(order) > MANY:
        shown["told"] = shown["told"] + "  " + shown["words"]
    layers = _marks(
        chart_data,
        scale,
        axis,
        y,
        look,
        single=single,
        far=bool(shown["far"].any()),
        one_line=many_rows,
    )
    data = source(shown.drop(columns="panel") if single else shown)
    height = (LOW_ROW if many_rows else ROW) * len(order) if single else 26 * len(order)
    description = _described(look, shown, note, single=single)
    if single:
        return alt.layer(*layers, data=data).properties(
            width=WIDTH, height=height, description=description
        )
    facet = alt.Facet("panel:N", title=None, sort=panels, header={"labelFontSize": 12})
    one = alt.layer(*layers, data=data).properties(width=PANEL_WIDTH, height=height)
    panes = one.facet(facet=facet, columns=2).properties(description=description)
    return panes.resolve_axis(x="independent").resolve_scale(x="independent")


def _placed(table: pd.DataFrame, look: Judged) -> pd.DataFrame:
    """The rows in the shown unit, with the words at the right, and the margin about zero."""
    shown = table[
        ["norm", "panel", "rank", "seeds", "value", "difference", "ci_low", "ci_high", "margin"]
    ].copy()
    for name in ("value", "difference", "ci_low", "ci_high", "margin"):
        shown[name] = look.factor * shown[name]
    shown["below"], shown["above"] = -shown["margin"], shown["margin"]
    verdict = table["verdict"].astype(str)
    shown["verdict"] = verdict
    shown["mark"] = [mark(word) for word in verdict]
    shown["words"] = [
        f"{sign} {word.partition(' (')[0]}".strip()
        for sign, word in zip(shown["mark"], verdict, strict=True)
    ]
    shown["told"] = [
        f"{value:{look.value}}" if rank == 0 else _difference(difference, look)
        for value, difference, rank in zip(
            shown["value"], shown["difference"], shown["rank"], strict=True
        )
    ]
    return shown


def _difference(value: float, look: Judged) -> str:
    return f"{value:{look.form}}{look.unit}".replace("-", "−") if np.isfinite(value) else "–"


def _far(shown: pd.DataFrame) -> pd.Series:
    """Which rows lie too far from the leader of their panel to be drawn to scale."""
    parts = shown[["difference", "ci_low", "ci_high"]].replace([np.inf, -np.inf], np.nan)
    extent = parts.abs().max(axis=1).fillna(0)
    far = ~np.isfinite(shown["difference"]) & (shown["rank"] > 0)
    for _, own in extent[shown["rank"] > 0].groupby(shown["panel"]):
        known = own.sort_values()
        least = max(float(shown.loc[known.index, "margin"].max()), 0.0)
        for near, (at, next_) in zip(known, list(known.items())[1:], strict=False):
            if next_ > FAR * max(near, least) > 0:
                far.loc[known.loc[at:].index] = True
                break
    return far


def _close(shown: pd.DataFrame) -> None:
    """An interval without an end reaches beyond all others."""
    ends = ["ci_low_shown", "ci_high_shown"]
    finite = shown[[*ends, "difference_shown"]].replace([np.inf, -np.inf], np.nan).abs().max()
    beyond = 1.5 * max(float(finite.max()), 1e-9)
    shown[ends] = shown[ends].replace({np.inf: beyond, -np.inf: -beyond})


def _scale(shown: pd.DataFrame) -> dict[str, Any]:
    """An axis that leaves room for the words at its right."""
    parts = shown[["difference_shown", "ci_low_shown", "ci_high_shown", "below", "above"]]
    low, high = np.nanmin(parts.to_numpy(dtype=float)), np.nanmax(parts.to_numpy(dtype=float))
    room = 0.06 * max(high - low, 1e-9)
    across: Any = [0, {"expr": f"width - {WORDS}"}]
    return {"domain": [low - room, high + room], "nice": False, "range": across}


def _marks(
    chart_data: ChartData,
    scale: dict[str, Any],
    axis: dict[str, Any],
    y: alt.Y,
    look: Judged,
    *,
    single: bool,
    far: bool,
    one_line: bool,
) -> list[alt.Chart]:
    def at(field: str) -> alt.X:
        return alt.X(f"{field}:Q", axis=axis, scale=scale)

    tooltip = [
        alt.Tooltip("norm:N"),
        alt.Tooltip("verdict:N"),
        alt.Tooltip("value:Q", format=look.value, title=look.title),
        alt.Tooltip("difference:Q", format=look.form, title=f"to the leader{look.unit}"),
        alt.Tooltip("ci_low:Q", format=look.form, title="interval from"),
        alt.Tooltip("ci_high:Q", format=look.form, title="to"),
        alt.Tooltip("seeds:Q"),
    ]
    near, away = "!datum.far", "datum.far"
    edge = 8 if look.higher_is_better else {"expr": f"width - {WORDS if single else 0} - 8"}
    arrow = "triangle-left" if look.higher_is_better else "triangle-right"
    colours = colour(chart_data, legend=None)
    # Where no mark is, a screen reader is told of none: the arrows of some panels only.
    marks = [
        alt.Chart().mark_rect(opacity=0.13, clip=True, aria=False).encode(
            x=at("below"), x2=alt.X2("above:Q"), y=y, color=alt.ColorValue("#8a939e")),
        alt.Chart().mark_rule(strokeDash=[2, 3], aria=False).encode(
            x=alt.XDatum(0)),
        alt.Chart().mark_rule(strokeWidth=3, clip=True, aria=False).transform_filter(near).encode(
            x=at("ci_low_shown"), x2=alt.X2("ci_high_shown:Q"), y=y, color=colours),
        alt.Chart().mark_point(filled=True, size=150, opacity=1).transform_filter(near).encode(
            x=at("difference_shown"), y=y, color=colours, shape=shape(chart_data, legend=None),
            tooltip=tooltip),
        alt.Chart().mark_point(filled=True, size=170, shape=arrow, opacity=1, aria=single)
        .transform_filter(away).encode(x=alt.XValue(edge), y=y, color=colours, tooltip=tooltip),
    ]  # fmt: skip
    if not far:
        marks.pop()
    if single and one_line:
        right = alt.XValue({"expr": f"width - {WORDS - 8}"})
        told = alt.Chart().mark_text(align="left", fontSize=11)
        return [*marks, told.encode(x=right, y=y, text=alt.Text("told:N"))]
    if single:
        right = alt.XValue({"expr": f"width - {WORDS - 12}"})
        told = alt.Chart().mark_text(align="left", dy=-8, fontSize=13)
        words = alt.Chart().mark_text(align="left", dy=8, fontSize=12)
        return [
            *marks,
            told.encode(x=right, y=y, text=alt.Text("told:N")),
            words.encode(x=right, y=y, text=alt.Text("words:N")),
        ]
    sign = alt.Chart().mark_text(align="center", dy=-9, fontSize=11, aria=False)
    marks.append(
        sign.transform_filter(near).encode(x=at("difference_shown"), y=y, text=alt.Text("mark:N"))
    )
    if far:
        marks.append(
            sign.transform_filter(away).encode(x=alt.XValue(edge), y=y, text=alt.Text("mark:N"))
        )
    return marks


def _axis_title(look: Judged, shown: pd.DataFrame | None) -> str:
    unit = f" ({look.unit.strip()})" if look.unit == " pp" else ""
    leader = ""
    if shown is not None and (shown["rank"] == 0).any():
        leader = f" to {shown.loc[shown['rank'] == 0, 'norm'].iloc[0]}"
    text = f"difference in {look.title}{leader}{unit}"
    return f"← worse · {text}" if look.higher_is_better else f"{text} · worse →"


def _described(look: Judged, shown: pd.DataFrame, note: str, *, single: bool) -> str:
    text = (
        f"Points are differences in {look.title} to the leader, paired by seed; lines are their "
        "simultaneous 95 % intervals. "
    )
    margin = shown["margin"].dropna()
    if len(margin):
        wide = f"{margin.iloc[0]:.3g}{look.unit}" if margin.nunique() == 1 else "the margin"
        text += f"The grey band reaches {wide} either way: within it norms count as similar. "
    if not single:
        text += "★ leads, ▼ is worse, ≈ is similar, ? is undecided, · has too few seeds. "
    if shown["far"].any():
        text += "An arrow at the edge stands for a norm too far away for the axis. "
    lacking = shown.loc[shown["ci_low"].isna() & (shown["rank"] > 0) & ~shown["far"], "norm"]
    if len(lacking):
        text += f"Without an interval: {', '.join(dict.fromkeys(lacking))}. "
    return text.strip() + note
