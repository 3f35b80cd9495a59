"""What a chart is, and what it is drawn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from normbench.registry import Registry, summary

if TYPE_CHECKING:
    import altair as alt


@dataclass(frozen=True)
class ChartData:
    """An experiment's numbers as the charts take them. Empty frames are of what was not measured.

    norms: labels in the config's order; keys: the sweep keys, a column each in every frame;
    baseline: a norm's label; target: the primary one.
    about: the data, the network and the seeds in one line.
    metric, best: the judged metric and ``analysis.best_set`` of it, with ``margin``: how far from
    the leader is still similar, in the metric's unit.
    outcomes: one row a run: norm, <keys>, seed, auc, val_accuracy, test_accuracy, steps_to_target,
    budget and seconds_per_step.
    accuracy, loss: ``analysis.curves.bands`` of validation accuracy and training loss.
    accuracy_by_seed, loss_by_seed: ``analysis.curves.by_seed``, of the norms under which not every
    seed learned.
    survival: ``analysis.survival.kaplan_meier`` by norm and sweep point.
    convergence: the convergence table for the primary target.
    layers: ``analysis.curves.layer_series`` of activation_gradient, activation_out_std,
        effective_rank, example_cosine and ``analysis.signal.QUANTILES``.
    growth: norm, <keys>, seed, growth (measured at step 0), theory, theory_note.
    families: label -> the family of the norm, in the config's order, of those that a run told of.
    sensitivity: ``analysis.tuning.sensitivity``; tuned_key: what was tuned.
    """

    norms: list[str]
    keys: list[str]
    baseline: str
    target: float
    about: str = ""
    metric: str = "auc"
    best: pd.DataFrame = field(default_factory=pd.DataFrame)
    outcomes: pd.DataFrame = field(default_factory=pd.DataFrame)
    accuracy: pd.DataFrame = field(default_factory=pd.DataFrame)
    loss: pd.DataFrame = field(default_factory=pd.DataFrame)
    accuracy_by_seed: pd.DataFrame = field(default_factory=pd.DataFrame)
    loss_by_seed: pd.DataFrame = field(default_factory=pd.DataFrame)
    survival: pd.DataFrame = field(default_factory=pd.DataFrame)
    convergence: pd.DataFrame = field(default_factory=pd.DataFrame)
    layers: pd.DataFrame = field(default_factory=pd.DataFrame)
    growth: pd.DataFrame = field(default_factory=pd.DataFrame)
    families: Mapping[str, str] = field(default_factory=dict)
    sensitivity: pd.DataFrame = field(default_factory=pd.DataFrame)
    tuned_key: str | None = None


Draw = Callable[[ChartData], "alt.LayerChart | alt.FacetChart | None"]


@dataclass(frozen=True)
class Chart:
    """One registered chart.

    about: one line, what it shows; draw: the chart with a description in words, or None when there
    is nothing to draw; position: where it stands in the reading order; scales: the axes ("x", "y")
    that may be read on a linear or a logarithmic scale; defines: what it shows, as the glossary
    names it; views: other ways to draw the same, by what they are called, ``view`` being the name
    of the first.
    """

    title: str
    about: str
    draw: Draw
    position: int
    scales: tuple[str, ...] = ()
    defines: tuple[str, ...] = ()
    view: str = ""
    views: Mapping[str, Draw] = field(default_factory=dict)


CHARTS: Registry[Chart] = Registry("chart", "normbench.charts")


def chart(
    name: str,
    *,
    title: str,
    position: int,
    scales: tuple[str, ...] = (),
    defines: tuple[str, ...] = (),
    view: str = "",
    views: Mapping[str, Draw] | None = None,
) -> Callable[[Draw], Draw]:
    """Decorator: register a drawing function; the first line of its docstring is ``about``."""

    def add(draw: Draw) -> Draw:
        about = summary(draw)
        CHARTS.register(name)(
            Chart(title, about, draw, position, scales, defines, view, views or {})
        )
        return draw

    return add


def chart_order() -> list[str]:
    """The names of all charts in reading order."""
    return sorted(CHARTS.names(), key=lambda name: (CHARTS[name].position, name))
