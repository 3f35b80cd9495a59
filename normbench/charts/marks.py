"""What the charts share: data, the norm's encodings, small multiples, and the look of a page."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd

from normbench.analysis.curves import thinned
from normbench.analysis.groups import sweep_points
from normbench.charts.base import ChartData
from normbench.charts.palette import DARK_BACKGROUND, LIGHT_BACKGROUND, norm_styles
from normbench.store.files import finite, to_json

WIDTH, HEIGHT = 640, 300
PANEL_WIDTH, PANEL_HEIGHT = 290, 200
MOST_PANELS = 12
SUBTITLE_CHARACTERS = 100

Drawn = alt.LayerChart | alt.FacetChart
"""What a chart's function gives."""

PIXELS_PER_POINT = 2.0

MANY = 8
"""Norms beyond which a chart of lines lets a few stand out, and greys the others."""

GREY = "#8a939e"

_INK = {"light": "#1f2328", "dark": "#e6e8eb"}
_GRID = {"light": "#dfe3e8", "dark": "#353b44"}


def source(frame: pd.DataFrame) -> alt.InlineData:
    """The frame's rows as a chart's data: five significant digits, null for what is not finite."""
    rounded = frame.copy()
    for name in rounded.columns:
        if pd.api.types.is_float_dtype(rounded[name]):
            rounded[name] = [float(f"{value:.5g}") for value in rounded[name]]
    rows = [
        {str(name): value.item() if isinstance(value, np.generic) else value for name, value in r}
        for r in (row.items() for row in rounded.to_dict("records"))
    ]
    return alt.InlineData(values=finite(rows))


def outstanding(chart_data: ChartData) -> list[str]:
    """The norms that stand out where there are many: those that lead, and the baseline.

    In the config's order; none where all have room.
    """
    if len(chart_data.norms) <= MANY:
        return []
    best = chart_data.best
    leaders = best.loc[best["rank"] == 0, "norm"].value_counts().index[:3] if len(best) else []
    chosen = {*leaders, chart_data.baseline}
    return [norm for norm in chart_data.norms if norm in chosen]


def told_outstanding(chart_data: ChartData) -> str:
    """Words that say which norms stand out; none where all do."""
    few = outstanding(chart_data)
    if not few:
        return ""
    rest = len(chart_data.norms) - len(few)
    return (
        f" In colour {'is' if len(few) == 1 else 'are'} {listed(few)}, of those that lead and the "
        f"baseline; the other {rest} norms are grey, and coloured under the pointer."
    )


def pointer() -> alt.Parameter:
    """The norm that the pointer is on. For one layer of a chart; the others ask for it by name."""
    return alt.selection_point(
        name="pointed", on="pointerover", clear="pointerout", fields=["norm"], empty=False
    )


def standing_out(chart_data: ChartData) -> alt.LogicalOrPredicate:
    """Of the norms that stand out, and of the one that the pointer is on."""
    chosen = alt.FieldOneOfPredicate(field="norm", oneOf=outstanding(chart_data))
    pointed = alt.ParameterPredicate(param="pointed", empty=False)
    return alt.LogicalOrPredicate(**{"or": [chosen, pointed]})


def colour(chart_data: ChartData, **options: Any) -> alt.Color:
    """A norm's colour. The range is the theme's, so that one chart serves light and dark pages."""
    return alt.Color("norm:N", title=None, scale={"domain": chart_data.norms}, **options)


def line_colour(chart_data: ChartData, norms: Sequence[str] = (), *, legend: bool = True) -> Any:
    """The same, with strokes in the legend: a norm's dash shows there. norms: those in it.

    Among many norms grey for those that do not stand out, who are not in the legend either.
    """
    few = outstanding(chart_data)
    shown = [norm for norm in list(norms) or chart_data.norms if not few or norm in few]
    keys = {"symbolType": "stroke", "symbolSize": 500, "symbolOpacity": 1, "values": shown}
    own = colour(chart_data, legend=keys if legend else None)
    return alt.condition(standing_out(chart_data), own, alt.value(GREY)) if few else own


def all_dashes(chart_data: ChartData, **options: Any) -> alt.StrokeDash:
    """Every norm's dash."""
    look = norm_styles(chart_data.norms)
    scale = {"domain": chart_data.norms, "range": [list(look[n].dash) for n in chart_data.norms]}
    return alt.StrokeDash("norm:N", title=None, scale=scale, **{"legend": None, **options})


def dash(chart_data: ChartData, **options: Any) -> Any:
    """A norm's dash; among many none for those that do not stand out."""
    few = outstanding(chart_data)
    legend = {"values": few} if few else alt.Undefined
    own = all_dashes(chart_data, **{"legend": legend, **options})
    return alt.condition(standing_out(chart_data), own, alt.value([1, 0])) if few else own


def faint(chart_data: ChartData, channel: str, strong: float, weak: float) -> dict[str, Any]:
    """{channel: a number for norms that stand out, and one for the others}; nothing for few."""
    if not outstanding(chart_data):
        return {}
    strength = alt.condition(standing_out(chart_data), alt.value(strong), alt.value(weak))
    return {channel: strength}


def norm_axis(chart_data: ChartData) -> dict[str, Any]:
    """A horizontal axis of norms, whose names stand upright where there are many."""
    if len(chart_data.norms) <= MANY:
        return {"labelAngle": 0}
    return {"labelAngle": -50, "labelOverlap": False, "labelLimit": 190}


def shape(chart_data: ChartData, **options: Any) -> alt.Shape:
    """A norm's shape."""
    look = norm_styles(chart_data.norms)
    scale = {"domain": chart_data.norms, "range": [look[n].shape for n in chart_data.norms]}
    return alt.Shape("norm:N", title=None, scale=scale, **options)


def add_panels(
    frame: pd.DataFrame, keys: Sequence[str], most: int = MOST_PANELS
) -> tuple[pd.DataFrame, list[str], str]:
    """The frame with its sweep points named in the column ``panel`` in place of the keys.

    Returns also the names in order, and, when there are more than ``most`` of them, words that
    say how many of how many are kept: evenly spread ones.
    """
    if not keys:
        return frame.assign(panel=""), [""], ""
    code, points = sweep_points(frame, keys)
    names = [
        ", ".join(f"{key.rsplit('.', 1)[-1]}={value}" for key, value in sweep_point.items())
        for sweep_point in points.to_dict("records")
    ]
    kept = thinned(len(names), most)
    shown = frame.assign(panel=np.array(names, dtype=object)[code])[np.isin(code, kept)]
    note = f" Drawn are {len(kept)} of {len(names)} sweep points." if len(kept) < len(names) else ""
    return shown.drop(columns=list(keys)), [names[i] for i in kept], note


def listed(norms: Iterable[str]) -> str:
    """Norms in a sentence: a, “none” and c; none would read as nobody."""
    return joined("“none”" if norm == "none" else norm for norm in norms)


def joined(parts: Iterable[str]) -> str:
    """a, b and c."""
    names = list(parts)
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def layers_left_out(layers: pd.DataFrame, *, steps: bool = True) -> str:
    """Words that say how many layers, and probed steps, are drawn where not all are.

    layers: see ``analysis.curves.layer_series``; of networks of several depths the deepest counts.
    """
    said = []
    for drawn, there, what in (("layer", "depth", "layers"), ("step", "probed", "probed steps")):
        most = layers[there].max()
        count = layers.loc[layers[there] == most, drawn].nunique()
        if count < most and (steps or drawn == "layer"):
            said.append(f"{count} of {most} {what}")
    return f" Drawn are {' and '.join(said)}." if said else ""


def lines_and_points(
    chart_data: ChartData, x: alt.X, y: alt.Y, tooltip: list[alt.Tooltip], size: int = 60
) -> list[alt.Chart]:
    """A line a norm and its points, which tell their values; size: of a point, in square pixels.

    Among many norms those that stand out are drawn once more, above the others.
    """
    few = outstanding(chart_data)
    colours: Any = colour(chart_data)
    if few:
        own = colour(chart_data, legend={"values": few})
        colours = alt.condition(standing_out(chart_data), own, alt.value(GREY))
    line = (
        alt.Chart()
        .mark_line(strokeWidth=alt.Undefined if few else 2)
        .encode(
            x=x,
            y=y,
            color=colours,
            strokeDash=dash(chart_data, legend=None) if few else dash(chart_data),
            detail=alt.Detail("norm:N"),
            **({} if few else {"shape": shape(chart_data)}),
            **faint(chart_data, "strokeWidth", 2.5, 1),
            **faint(chart_data, "opacity", 1, 0.5),
        )
    )
    point = (
        alt.Chart()
        .mark_point(filled=True, size=size)
        .encode(
            x=x,
            y=y,
            color=colours,
            shape=shape(chart_data, legend=None) if few else shape(chart_data),
            tooltip=tooltip,
            **faint(chart_data, "opacity", 1, 0.25),
        )
    )
    if not few:
        return [line, point]
    above = line.transform_filter(alt.FieldOneOfPredicate(field="norm", oneOf=few))
    return [line, above, point.add_params(pointer())]


def apart(wanted: Sequence[float], gap: float, height: float) -> list[float]:
    """Ascending places moved as little as needed to be ``gap`` apart, within 0 to ``height``."""
    groups: list[list[float]] = []  # [centre, members]
    for position in wanted:
        groups.append([position, 1])
        while (
            len(groups) > 1
            and groups[-1][0] - groups[-2][0] < gap * (groups[-1][1] + groups[-2][1]) / 2
        ):
            (b, n), (a, m) = groups.pop(), groups.pop()
            groups.append([(a * m + b * n) / (m + n), m + n])
    moved = [
        centre + gap * (position - (count - 1) / 2)
        for centre, count in groups
        for position in range(int(count))
    ]
    if moved:
        move = min(0.0, height - moved[-1])
        moved = [position + move for position in moved]
        for at, position in enumerate(moved):
            least = 0.0 if at == 0 else moved[at - 1] + gap
            moved[at] = max(position, least)
    return moved


def facet(
    layers: Sequence[alt.Chart],
    frame: pd.DataFrame,
    panels: list[str],
    description: str,
    *,
    x: Literal["shared", "independent"] = "shared",
    computed: Mapping[str, str] | None = None,
) -> Drawn:
    """The layers over one frame: a single chart, or small multiples, one for each panel.

    x: whether the panels share the horizontal axis; sweep points may differ in their budgets.
    computed: further fields, each as a Vega expression.
    """
    data = source(frame.drop(columns="panel") if len(panels) == 1 else frame)
    both = alt.layer(*layers, data=data)
    if computed:
        both = both.transform_calculate(**computed)
    if len(panels) == 1:
        return both.properties(width=WIDTH, height=HEIGHT, description=description)
    facet = alt.Facet("panel:N", title=None, sort=panels, header={"labelFontSize": 12})
    one = both.properties(width=PANEL_WIDTH, height=PANEL_HEIGHT)
    panes = one.facet(facet=facet, columns=2).properties(description=description)
    # Axes of their own: a shared one would stand below the empty place of a last, shorter row.
    panes = panes.resolve_axis(x="independent")
    return panes.resolve_scale(x=x) if x == "independent" else panes


def theme(norms: Sequence[str], scheme: str = "light") -> dict[str, Any]:
    """The Vega-Lite configuration of a page. scheme: light or dark."""
    ink, grid = _INK[scheme], _GRID[scheme]
    look = norm_styles(norms)
    text = {"labelColor": ink, "titleColor": ink, "labelFontSize": 12, "titleFontSize": 12}
    return {
        "background": LIGHT_BACKGROUND if scheme == "light" else DARK_BACKGROUND,
        "font": "system-ui, 'DejaVu Sans', sans-serif",
        "axis": {
            **text,
            "titleFontWeight": "normal",
            "gridColor": grid,
            "domainColor": ink,
            "tickColor": ink,
            "labelOverlap": "greedy",
            "labelSeparation": 6,
            "tickCount": 6,
        },
        "legend": {
            **text,
            "orient": "top",
            "symbolSize": 120,
            "symbolStrokeWidth": 2,
        },
        "header": {"labelColor": ink, "titleColor": ink},
        "title": {"color": ink, "subtitleColor": ink},
        "text": {"color": ink},
        "rule": {"color": ink},
        "tick": {"color": ink},
        "view": {"stroke": grid},
        "range": {"category": [getattr(look[norm], scheme) for norm in norms]},
    }


def with_theme(chart: Drawn, chart_data: ChartData, title: str) -> Drawn:
    """The chart as it stands alone in a notebook or a file: with the theme of a light page, its
    title, and the data, the network and the seeds below it.
    """
    copy = chart.copy(deep=False)
    copy.config = alt.Config.from_dict(theme(chart_data.norms))
    lines = textwrap.wrap(chart_data.about, SUBTITLE_CHARACTERS)
    copy.title = alt.TitleParams(
        title, subtitle=lines, anchor="start", offset=14, fontSize=15, subtitleFontSize=12
    )
    shown = _ShownLayers if isinstance(copy, alt.LayerChart) else _ShownPanels
    object.__setattr__(copy, "__class__", shown)  # Altair's own takes every name for an option
    return copy


class _Shown:
    """Shows a chart as a picture that is made here.

    Altair's own display loads its scripts from the net, when the notebook is opened.
    """

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> tuple[Any, Any]:
        spec = self.to_dict()  # type: ignore[attr-defined]
        words = str(spec.get("description", type(self).__name__))
        image = png(spec)
        width, height = (int.from_bytes(image[at : at + 4], "big") for at in (16, 20))
        size = {"width": width / PIXELS_PER_POINT, "height": height / PIXELS_PER_POINT}
        return {"image/png": image, "text/plain": words}, {"image/png": size}


class _ShownLayers(_Shown, alt.LayerChart):
    """Layers over one frame."""


class _ShownPanels(_Shown, alt.FacetChart):
    """Small multiples."""


def png(spec: Mapping[str, Any]) -> bytes:
    """A chart's Vega-Lite specification as a picture, with two pixels a point."""
    import vl_convert

    return bytes(vl_convert.vegalite_to_png(to_json(spec), scale=PIXELS_PER_POINT))
