"""The comparisons behind a verdict in one picture: differences with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from normbench.charts.marks import Drawn
from normbench.store.files import to_json

ROW, WIDTH = 34, 420
FAR = 3.0
"""Intervals are drawn up to so many times the largest difference."""
COLOURS = {"holds": "#1a7f37", "fails": "#cf222e", "open": "#8a939e"}
WORDS = {True: "holds", False: "fails", None: "open"}


def drawable(parts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether there is a comparison to draw."""
    return any(_lines(part) for part in parts)


def picture(parts: Sequence[Mapping[str, Any]], title: str) -> str | None:
    """An SVG: a line a comparison, its difference, its interval, and whether its part holds.

    parts: ``part``, ``situation``, ``holds`` and the numbers of a comparison (difference, ci_low,
    ci_high, first, second). None where none was measured. Comparisons of different quantities
    stand in panels below one another; an interval that reaches beyond ``FAR`` ends there.
    """
    shown = [line for part in parts for line in _lines(part)]
    if not shown:
        return None
    panels = []
    for quantity in dict.fromkeys(line["quantity"] for line in shown):
        panels.append(_panel([line for line in shown if line["quantity"] == quantity], quantity))
    chart = alt.vconcat(*panels).properties(title=title, background="white")
    chart = chart.configure_axis(labelLimit=520, gridColor="#dfe3e8").configure_view(stroke=None)
    import vl_convert

    return str(vl_convert.vegalite_to_svg(to_json(chart.to_dict())))


def _lines(part: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The comparisons of a part: one, or those of which any has to hold."""
    lines = []
    for index, duel in enumerate(part.get("duels") or [part]):
        difference = duel.get("difference")
        if difference is None or not math.isfinite(difference):
            continue
        where = ", ".join(f"{value}" for value in part["situation"].values())
        label = f"{part['part']}{f' ({where})' if where else ''}"
        lines.append(
            {
                "label": f"{label} {index + 1}" if part.get("duels") else label,
                "what": f"{duel['first']} less {duel['second']}",
                "quantity": duel["quantity"],
                "difference": difference,
                "low": _finite(duel.get("ci_low")),
                "high": _finite(duel.get("ci_high")),
                "margin": duel["within"],
                "holds": WORDS[part["holds"]],
            }
        )
    return lines


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _panel(lines: Sequence[Mapping[str, Any]], quantity: str) -> Drawn:
    values = [{**line, "below": -line["margin"], "above": line["margin"]} for line in lines]
    far = FAR * max(max(abs(line["difference"]), line["margin"]) for line in lines)
    for value in values:
        for end in ("low", "high"):
            if value[end] is not None:  # an interval of few pairs may reach far beyond all others
                value[end] = min(max(value[end], -far), far)
    order = list(dict.fromkeys(line["label"] for line in lines))
    y = alt.Y("label:N", title=None, sort=order)
    colour = alt.Color(
        "holds:N", title=None, scale={"domain": [*COLOURS], "range": [*COLOURS.values()]}
    )
    axis = {"title": f"difference in {quantity}", "format": "~g", "tickCount": 5}
    base = alt.Chart(alt.InlineData(values=values))
    band = base.mark_rect(opacity=0.15, color="#8a939e").encode(
        x=alt.X("below:Q", axis=axis), x2=alt.X2("above:Q"), y=y
    )
    zero = base.mark_rule(strokeDash=[2, 3]).encode(x=alt.XDatum(0))
    interval = base.mark_rule(strokeWidth=3).encode(
        x=alt.X("low:Q", axis=axis), x2=alt.X2("high:Q"), y=y, color=colour
    )
    point = base.mark_point(filled=True, size=110, opacity=1).encode(
        x=alt.X("difference:Q", axis=axis), y=y, color=colour
    )
    return alt.layer(band, zero, interval, point).properties(width=WIDTH, height=ROW * len(order))
