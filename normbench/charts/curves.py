"""Learning curves: validation accuracy and training loss over steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import altair as alt
import numpy as np
import pandas as pd

from normbench.charts.base import Frames, chart
from normbench.charts.marks import Drawn, dash, line_colour, panelled, spread


@chart(
    "curves",
    title="Learning curves",
    place=10,
    scales=("x", "y"),
    defines=("val %", "step", "target", "ended"),
)
def accuracy(frames: Frames) -> Drawn | None:
    """Validation accuracy over steps: the median over seeds, and the range that they span."""
    target = alt.Chart().mark_rule(aria=False, strokeDash=[2, 4]).encode(y=alt.datum(frames.target))
    last = _last(frames.accuracy, lambda value: f"{100 * value:.1f} %")
    return _lines(
        frames,
        frames.accuracy,
        alt.Axis(title="validation accuracy", format="%"),
        "linear",
        f"Lines are medians over seeds, bands reach from the lowest to the highest seed, and the "
        f"dotted rule is the target; after a divergence a seed counts as chance. {last}",
        [target],
    )


@chart("loss", title="Training loss", place=20, scales=("x", "y"), defines=("step", "ended"))
def loss(frames: Frames) -> Drawn | None:
    """Training loss over steps: the median over seeds, and the range that they span."""
    last = _last(frames.loss, lambda value: f"{value:.3g}")
    return _lines(
        frames,
        frames.loss,
        alt.Axis(title="training loss", format="~g"),
        "log",
        "Lines are medians over seeds, bands reach from the lowest to the highest seed; a line "
        f"ends where half of the runs had diverged. {last}",
        [],
    )


def _lines(
    frames: Frames,
    frame: pd.DataFrame,
    axis: alt.Axis,
    kind: Literal["linear", "log"],
    description: str,
    further: list[alt.Chart],
) -> Drawn | None:
    if frame.empty:
        return None
    shown, panels, note = panelled(frame, frames.keys)
    x = alt.X("step:Q", title="step", axis=alt.Axis(format="~s"), scale=alt.Scale(nice=False))
    scale = alt.Scale(type=kind) if kind == "log" else alt.Scale(type=kind, zero=False)
    y = alt.Y("median:Q", axis=axis, scale=scale)
    band = (
        alt.Chart()
        .mark_area(opacity=0.18)
        .encode(
            x=x, y=alt.Y("low:Q", axis=axis, scale=scale), y2="high:Q", color=line_colour(frames)
        )
    )
    line = (
        alt.Chart()
        .mark_line(strokeWidth=2)
        .encode(x=x, y=y, color=line_colour(frames), strokeDash=dash(frames))
    )
    # Invisible points, wide enough to be hit, carry the tooltip.
    point = (
        alt.Chart()
        .mark_point(size=90, opacity=0, filled=True)
        .encode(
            x=x,
            y=y,
            color=line_colour(frames),
            tooltip=[
                alt.Tooltip("norm:N"),
                alt.Tooltip("step:Q"),
                alt.Tooltip("median:Q", format=".4g"),
                alt.Tooltip("low:Q", format=".4g", title="lowest"),
                alt.Tooltip("high:Q", format=".4g", title="highest"),
                alt.Tooltip("runs:Q"),
            ],
        )
    )
    return spread([band, *further, line, point], shown, panels, description + note, x="independent")


def _last(frame: pd.DataFrame, text: Callable[[float], str]) -> str:
    """How each norm's curve ends; nothing for a sweep, where that would be a table."""
    if frame.empty or frame.duplicated(["norm", "step"]).any():
        return ""
    ends = frame.sort_values("step").groupby("norm", sort=False)["median"].last()
    told = [
        f"{norm} {text(ends[norm]) if np.isfinite(ends[norm]) else 'diverged'}"
        for norm in dict.fromkeys(frame["norm"])
    ]
    return f"At the end: {', '.join(told)}."
