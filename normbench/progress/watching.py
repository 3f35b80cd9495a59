"""An experiment while it trains, or after: how far each norm is, and its curves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from rich.text import Text

from normbench.analysis.groups import OUTCOME_STATES, sweep_points
from normbench.charts.palette import norm_styles
from normbench.dotted import tuned_key
from normbench.progress.braille import Line, plot
from normbench.report.columns import percent
from normbench.results.chart_data import about
from normbench.store import Results

HEIGHT = 12  # lines of a chart
LEAST_HEIGHT = 5
MOST_WIDTH = 100
_WORDS = {"missing": "to do", "finished": "done"}


def shown_role(runs: pd.DataFrame) -> str:
    """Which runs to show: those that train, else the judged ones."""
    running = runs.loc[runs["state"] == "running", "role"]
    if len(running):
        return str(running.iloc[-1])
    return "best" if (runs["role"] == "best").any() else "report"


def medians(results: Results, role: str) -> pd.DataFrame:
    """Validation error by norm, sweep point and step: the median over the runs that got there.

    Returns norm, <keys>, step, error and runs. Of a tuning's runs, all values together.
    """
    runs = results.runs[results.runs["role"] == role].drop_duplicates("run")
    by = ["norm", *results.keys]
    joined = results.curves.astype({"run": object}).merge(runs[["run", *by]], on="run")
    joined["error"] = 1 - joined["val_accuracy"]
    grouped = joined.groupby([*by, "step"], sort=False, dropna=False)["error"]
    table = grouped.agg(["median", "count"]).reset_index()
    table = table.rename(columns={"median": "error", "count": "runs"})
    return table.sort_values("step", kind="stable").reset_index(drop=True)


def screen(results: Results, width: int, height: int | None = None) -> Iterator[Text]:
    """The lines of the display. height: lines there are; None: as many as wanted."""
    runs = results.runs
    role = shown_role(runs)
    own = runs[runs["role"] == role].drop_duplicates("run")
    norms = list(dict.fromkeys(runs["norm"]))
    look = norm_styles(norms)
    width = min(width, MOST_WIDTH)
    yield Text.assemble((results.name, "bold"), f"  {about(results)}", overflow="ellipsis")
    yield Text(f"{_states(own)}{_role(role, results)}", "dim")
    table = medians(results, role)
    _, points = sweep_points(own, results.keys)
    rows = points.to_dict("records") if results.keys else [{}]
    legend = len(norms)
    room = HEIGHT
    if height is not None:
        each = (height - 3) // len(rows) - legend - 3
        room = max(LEAST_HEIGHT, min(HEIGHT, each))
        most = max(1, (height - 3) // (room + legend + 3))
        rows, left = _latest(rows, table, results.keys, most)
        if left:
            yield Text(f"{left} further sweep points: `normbench show` draws all", "dim")
    for sweep_point in rows:
        yield from _panel(own, table, sweep_point, look, norms, width, room)


def as_dict(results: Results) -> dict[str, Any]:
    """The same for ``--json``: the curves, and how many runs of which norm are in which state."""
    role = shown_role(results.runs)
    own = results.runs[results.runs["role"] == role].drop_duplicates("run")
    by = ["norm", *results.keys, "state"]
    counts = own.groupby(by, sort=False, dropna=False).size().reset_index(name="runs")
    return {
        "experiment": results.name,
        "role": role,
        "states": counts.to_dict("records"),
        "curves": medians(results, role).to_dict("records"),
    }


def _panel(
    runs: pd.DataFrame,
    table: pd.DataFrame,
    sweep_point: dict[str, Any],
    look: Any,
    norms: list[str],
    width: int,
    height: int,
) -> Iterator[Text]:
    yield Text()
    where = ", ".join(f"{key.rsplit('.', 1)[-1]}={value}" for key, value in sweep_point.items())
    yield Text(f"validation error, logarithmic, by step{f'; {where}' if where else ''}", "bold")
    lines, told = [], []
    for norm in norms:
        ours = _at(table, {"norm": norm, **sweep_point})
        lines.append(Line(norm, look[norm].terminal, ours["step"].tolist(), _positive(ours)))
        last = f"{percent(ours['error'].iloc[-1])} %" if len(ours) else "–"
        step = f"step {ours['step'].iloc[-1]:.0f}" if len(ours) else ""
        states = _states(_at(runs, {"norm": norm, **sweep_point}))
        wide = max(map(len, norms))
        told.append(
            Text.assemble(
                ("━━ ", look[norm].terminal), f"{norm:{wide}}  {last:>7}  {step:>10}  {states}"
            )
        )
    drawn = plot(lines, width, height, lambda value: f"{100 * value:.2g} %")
    yield from drawn or [Text("no evaluation yet", "dim")]
    yield from told


def _positive(table: pd.DataFrame) -> list[float]:
    """The errors; one of zero at half of the smallest that is none."""
    error = table["error"].to_numpy(dtype=float)
    above = error[error > 0]
    least = above.min() / 2 if len(above) else 1e-3
    return list(np.where(np.isfinite(error), np.maximum(error, least), np.nan))


def _at(frame: pd.DataFrame, where: dict[str, Any]) -> pd.DataFrame:
    keep = np.ones(len(frame), dtype=bool)
    for key, value in where.items():
        keep &= (frame[key].astype(str) == str(value)).to_numpy()
    return frame[keep]


def _states(runs: pd.DataFrame) -> str:
    """3 done, 1 running, 4 to do."""
    order = [*OUTCOME_STATES, "running", "interrupted", "failed", "damaged", "missing"]
    counts = runs["state"].value_counts()
    told = [f"{counts[state]} {_WORDS.get(state, state)}" for state in order if state in counts]
    return ", ".join(told) or "no runs"


def _role(role: str, results: Results) -> str:
    key = tuned_key(results.config)
    words = {
        "tune": f" (tuning {key}, all its values together)",
        "best": f" (each norm at its own best {key})",
        "pilot": " (pilot runs, for the target)",
    }
    return words.get(role, "")


def _latest(
    rows: list[dict[str, Any]], table: pd.DataFrame, keys: list[str], most: int
) -> tuple[list[dict[str, Any]], int]:
    """At most so many sweep points, the ones that were evaluated last; how many are left out."""
    if len(rows) <= most:
        return rows, 0
    begun = [index for index, row in enumerate(rows) if len(_at(table, row))]
    last = begun[-most:] or list(range(most))
    return [rows[index] for index in last], len(rows) - len(last)
