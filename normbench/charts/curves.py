"""Learning curves: error rate, accuracy and training loss over steps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from normbench.charts.base import ChartData, chart
from normbench.charts.family import by_family
from normbench.charts.judged import floor, ticks
from normbench.charts.marks import (
    HEIGHT,
    MANY,
    Drawn,
    add_panels,
    apart,
    colour,
    dash,
    facet,
    faint,
    line_colour,
    listed,
    outstanding,
    pointer,
    shape,
    told_outstanding,
)

LABEL = 15  # points between the names at the lines' ends, at least
CHARACTER = 6.8  # points of a name's letter, about
# Nulls are not drawn, but stay in the data that the axes are made from: in a panel in which a layer
# has nothing to draw, its horizontal axis would know no ends.
GAPS: Any = "break-paths-show-domains"


@dataclass(frozen=True)
class _View:
    """One way to draw the curves. value: from what is measured to what is drawn, also as a Vega
    expression of a field; log: the scale; rule: the value of a horizontal rule."""

    title: str
    format: str
    log: bool
    value: Callable[[Any], Any]
    expression: str
    domain: tuple[float, float]
    rule: float | None = None
    rule_text: str = ""


def accuracy(chart_data: ChartData) -> Drawn | None:
    """Validation accuracy over steps: the median over seeds, and the range that they span."""
    if chart_data.accuracy.empty:
        return None
    low = min(
        _lowest(chart_data.accuracy["low"]), _lowest(chart_data.accuracy_by_seed.get("value"))
    )
    target = chart_data.target
    view = _View("validation accuracy", "%", False, lambda v: v, "{0}",
                 (max(0.0, low - 0.02), 1.0), target, f"target {100 * target:.4g} %")  # fmt: skip
    last = _last(chart_data.accuracy, lambda value: f"{100 * value:.1f} %")
    return _curves(
        chart_data, chart_data.accuracy, chart_data.accuracy_by_seed, view, _told(chart_data), last
    )


@chart(
    "curves",
    title="Learning curves",
    position=10,
    scales=("x",),
    defines=("val %", "step", "target", "ended"),
    view="error rate, on a logarithm",
    views={"accuracy": accuracy, "accuracy by family": by_family},
)
def error(chart_data: ChartData) -> Drawn | None:
    """Validation error rate (1 − accuracy) over steps: the median over seeds, and their range."""
    if chart_data.accuracy.empty:
        return None
    seeds = chart_data.accuracy_by_seed.get("value")
    errors = pd.concat([1 - chart_data.accuracy["high"], 1 - chart_data.accuracy["low"]])
    errors = errors if seeds is None else pd.concat([errors, 1 - seeds.astype(float)])
    least = floor(errors)
    shown = errors.clip(lower=least)
    target = 1 - chart_data.target
    view = _View(
        "validation error", "~%", True, lambda v: np.maximum(1 - v, least),
        f"max(1 - {{0}}, {least:.5g})", (0.85 * float(shown.min()), 1.1 * float(shown.max())),
        target if target > 0 else None, f"target {100 * target:.3g} %",
    )  # fmt: skip
    last = _last(chart_data.accuracy, lambda value: f"{100 * (1 - value):.1f} %")
    none = " No error at all stands at the lower edge." if (errors <= 0).any() else ""
    return _curves(
        chart_data,
        chart_data.accuracy,
        chart_data.accuracy_by_seed,
        view,
        _told(chart_data) + none,
        last,
    )


@chart("loss", title="Training loss", position=20, scales=("x", "y"), defines=("step", "ended"))
def loss(chart_data: ChartData) -> Drawn | None:
    """Training loss over steps: the median over seeds, and the range that they span."""
    if chart_data.loss.empty:
        return None
    seeds = chart_data.loss_by_seed.get("value")
    parts = [chart_data.loss["low"], chart_data.loss["high"], *([] if seeds is None else [seeds])]
    losses = pd.concat(parts).astype(float)
    losses = losses[np.isfinite(losses) & (losses > 0)]
    domain = (0.9 * float(losses.min()), 1.1 * float(losses.max())) if len(losses) else (0.1, 1.0)
    view = _View("training loss", "~g", True, lambda v: v, "{0}", domain)
    told = "A line ends where half of the runs had diverged."
    last = _last(chart_data.loss, lambda value: f"{value:.3g}")
    return _curves(chart_data, chart_data.loss, chart_data.loss_by_seed, view, told, last)


def _told(chart_data: ChartData) -> str:
    return "The dotted rule is the target; after a divergence a seed counts as chance."


def _curves(
    chart_data: ChartData,
    bands: pd.DataFrame,
    seeds: pd.DataFrame,
    view: _View,
    told: str,
    last: str,
) -> Drawn:
    keys = chart_data.keys
    alone = _alone(bands, seeds, keys)
    bands = bands.assign(kind=np.where(alone, "none", "band"))
    shown = bands if seeds.empty else pd.concat([bands, seeds.assign(kind="seed")])
    shown, panels, note = add_panels(shown, keys)
    few = outstanding(chart_data) or chart_data.norms
    names = _names(shown, few, view) if len(panels) == 1 else pd.DataFrame()
    marks = _marks(chart_data, shown, view, names)
    description = "Lines are medians over seeds, bands reach from the lowest to the highest seed. "
    thin = [norm for norm in chart_data.norms if norm in set(bands.loc[alone, "norm"])]
    if thin:
        where = " at some sweep points" if keys else ""
        description += (
            f"Not every seed of {listed(thin)} learned{where}: its seeds are thin lines. "
        )
    description += f"{told} {last}".strip() + told_outstanding(chart_data) + note
    fields = ["median", "low", "high", "value"]
    computed = {
        f"{name}_shown": f"isValid(datum.{name}) ? "
        + view.expression.format(f"datum.{name}")
        + " : null"
        for name in fields
        if name in shown
    }
    shown = shown[shown["kind"] != "none"]
    return facet(marks, shown, panels, description, x="independent", computed=computed)


def _alone(bands: pd.DataFrame, seeds: pd.DataFrame, keys: Sequence[str]) -> pd.Series:
    """Which rows are of norms that are drawn seed by seed."""
    if seeds.empty:
        return pd.Series(False, index=bands.index)
    by = ["norm", *keys]
    known = set(map(tuple, seeds[by].astype(str).to_numpy()))
    return pd.Series(
        [tuple(row) in known for row in bands[by].astype(str).to_numpy()], index=bands.index
    )


def _marks(
    chart_data: ChartData, shown: pd.DataFrame, view: _View, names: pd.DataFrame
) -> list[alt.Chart]:
    named = len(names) > 0
    few = outstanding(chart_data)
    room = 30 + CHARACTER * max(map(len, few or chart_data.norms)) if named else 0
    where: dict[str, Any] = {"range": [0, {"expr": f"width - {room:.0f}"}]} if named else {}
    x = alt.X("step:Q", title="step", axis={"format": ",d", "grid": False},
              scale=dict(nice=False, **where))  # fmt: skip
    low, high = view.domain
    at: dict[str, Any] = {"values": [t for t in ticks(np.array([low, high])) if low <= t <= high]}
    axis = dict(title=view.title, format=view.format, **(at if view.log else {}))
    kind: Any = "log" if view.log else "linear"
    scale = {"type": kind, "domain": [low, high], "nice": False, "clamp": view.log}
    colours = line_colour(chart_data, legend=not named)
    dashes = dash(chart_data, legend=None) if named else dash(chart_data)

    def of(field: str) -> alt.Y:
        return alt.Y(f"{field}_shown:Q", axis=axis, scale=scale)

    tooltip = [
        alt.Tooltip("norm:N"),
        alt.Tooltip("step:Q"),
        alt.Tooltip("median_shown:Q", format=".4g", title="median"),
        alt.Tooltip("low_shown:Q", format=".4g", title="from"),
        alt.Tooltip("high_shown:Q", format=".4g", title="to"),
        alt.Tooltip("runs:Q"),
    ]
    # A row is of a band or of a seed, and null in the fields of the other.
    line = alt.Chart().mark_line(strokeWidth=alt.Undefined if few else 2.5, invalid=GAPS)
    area = alt.Chart().mark_area(opacity=0.14, invalid=GAPS)
    median = line.encode(
        x=x,
        y=of("median"),
        color=colours,
        strokeDash=dashes,
        detail=alt.Detail("norm:N"),
        **faint(chart_data, "strokeWidth", 2.5, 1),
        **faint(chart_data, "opacity", 1, 0.6),
    )
    above = alt.FieldOneOfPredicate(field="norm", oneOf=few)
    marks = [
        (area.transform_filter(above) if few else area).encode(
            x=x, y=of("low"), y2=alt.Y2("high_shown:Q"), color=colours
        ),
        *_rule(view, named=named),
        median,
        *([median.transform_filter(above)] if few else []),
    ]
    if (shown["kind"] == "seed").any():
        by_seed = [*tooltip[:2], alt.Tooltip("value_shown:Q", format=".4g", title="value")]
        by_seed.append(alt.Tooltip("seed:N"))
        thin = alt.Chart().mark_line(strokeWidth=1, opacity=0.75, invalid=GAPS)
        marks.append(
            thin.encode(
                x=x,
                y=of("value"),
                color=colours,
                strokeDash=dashes,
                detail=[alt.Detail("seed:N"), alt.Detail("norm:N")],
                tooltip=by_seed,
                **faint(chart_data, "opacity", 0.75, 0.25),
            )
        )
    # Invisible points, wide enough to be hit, carry the tooltip.
    wide = alt.Chart().mark_point(size=90, opacity=0, filled=True, invalid=GAPS)
    marks.append(
        wide.encode(
            x=x, y=of("median"), color=colours, detail=alt.Detail("norm:N"), tooltip=tooltip
        )
    )
    if few:
        marks[-1] = marks[-1].add_params(pointer())
    if named:
        y = alt.Y("at:Q", axis=axis, scale=scale)
        data = alt.InlineData(values=names.to_dict("records"))
        left = alt.XValue({"expr": f"width - {room - 12:.0f}"})
        beside = alt.XValue({"expr": f"width - {room - 22:.0f}"})
        shapes = shape(chart_data, legend=None)
        marks += [
            alt.Chart(data)
            .mark_point(size=60, filled=True, opacity=1)
            .encode(x=left, y=y, color=colour(chart_data, legend=None), shape=shapes),
            alt.Chart(data)
            .mark_text(align="left", baseline="middle", fontSize=12)
            .encode(x=beside, y=y, text=alt.Text("norm:N")),
        ]
    return marks


def _rule(view: _View, *, named: bool) -> list[alt.Chart]:
    """The target, with its name where there is room for one."""
    if view.rule is None or not view.domain[0] <= view.rule <= view.domain[1]:
        return []
    y = alt.YDatum(view.rule)
    rule = alt.Chart().mark_rule(aria=False, strokeDash=[2, 4]).encode(y=y)
    if not named:
        return [rule]
    one = alt.Chart(alt.InlineData(values=[{"text": view.rule_text}]))
    text = one.mark_text(align="left", baseline="bottom", dx=4, dy=-3, fontSize=11)
    return [rule, text.encode(x=alt.XValue(0), y=y, text=alt.Text("text:N"))]


def _names(shown: pd.DataFrame, norms: Sequence[str], view: _View) -> pd.DataFrame:
    """Where each norm's name stands: at its line's end, moved apart where they would touch."""
    low, high = np.log(view.domain) if view.log else np.array(view.domain)
    ends = {}
    for norm in norms:
        own = shown[(shown["norm"] == norm) & (shown["kind"] != "none")].sort_values("step")
        if own.empty:
            continue
        last = own["median"].dropna() if (own["kind"] == "band").any() else _medians(own)
        last = last[np.isfinite(last)]
        if len(last):
            value = float(view.value(last.iloc[-1]))
            height = np.log(max(value, 1e-12)) if view.log else value
            ends[norm] = float(np.clip(HEIGHT * (height - low) / (high - low), 0, HEIGHT))
    order = sorted(ends, key=ends.__getitem__)
    heights = apart([ends[norm] for norm in order], LABEL, HEIGHT)
    values = [low + (high - low) * height / HEIGHT for height in heights]
    return pd.DataFrame(
        {"norm": order, "at": [float(f"{np.exp(v) if view.log else v:.6g}") for v in values]}
    )


def _medians(own: pd.DataFrame) -> pd.Series:
    return own.groupby("step")["value"].median()


def _lowest(values: pd.Series | None) -> float:
    lowest = np.inf if values is None else values.min()
    return float(lowest) if np.isfinite(lowest) else 1.0


def _last(frame: pd.DataFrame, text: Callable[[float], str]) -> str:
    """How each norm's curve ends; nothing for a sweep or many norms, where that is a table."""
    if frame.empty or frame.duplicated(["norm", "step"]).any():
        return ""
    ends = frame.sort_values("step").groupby("norm", sort=False)["median"].last()
    if len(ends) > MANY:
        return ""
    told = [
        f"{norm} {text(ends[norm]) if np.isfinite(ends[norm]) else 'diverged'}"
        for norm in dict.fromkeys(frame["norm"])
    ]
    return f"At the end (medians): {', '.join(told)}."
