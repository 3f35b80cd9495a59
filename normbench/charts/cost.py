"""Training time a step."""

from __future__ import annotations

import altair as alt
import numpy as np

from normbench.charts.base import Frames, chart
from normbench.charts.marks import Drawn, colour, panelled, spread


@chart("cost", title="Time per step", place=90, defines=("time/step",))
def cost(frames: Frames) -> Drawn | None:
    """Training time per step by norm: the median over runs, as the tables have it."""
    table = frames.convergence
    if table.empty or not np.isfinite(table["train_seconds_per_step"]).any():
        return None
    frame = table[["norm", *frames.keys]].assign(ms=1000 * table["train_seconds_per_step"])
    shown, panels, note = panelled(frame, frames.keys)
    y = alt.Y("norm:N", title=None, sort=frames.norms)
    x = alt.X("ms:Q", title="ms per step")
    bar = (
        alt.Chart()
        .mark_bar(height={"band": 0.7})
        .encode(
            y=y,
            x=x,
            color=colour(frames, legend=None),
            tooltip=[alt.Tooltip("norm:N"), alt.Tooltip("ms:Q", format=".3g", title="ms per step")],
        )
    )
    text = (
        alt.Chart()
        .mark_text(align="left", dx=4)
        .encode(y=y, x=x, text=alt.Text("ms:Q", format=".3g"))
    )
    description = (
        "Forward, backward and update, without loading data, evaluating or probing. Runs that "
        f"train side by side on one machine slow each other down.{note}"
    )
    return spread([bar, text], shown, panels, description)
