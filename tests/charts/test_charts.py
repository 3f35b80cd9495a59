"""Every registered chart, from made-up experiments of every sort."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import vl_convert
from reported import SWEEP, TUNED, put
from scripted import diverges, evaluated, finishes, play, probed
from tiny import experiment

from normbench.api import compare
from normbench.charts.base import CHARTS, ChartData, chart_order
from normbench.charts.marks import MOST_PANELS, add_panels, source, theme, with_theme
from normbench.data import Dataset
from normbench.errors import ConfigError
from normbench.report.glossary import GLOSSARY
from normbench.results.experiment import ExperimentResult

NAMES = CHARTS.names()
ONLY = {"matrix": "swept", "sweep": "swept", "sensitivity": "tuned"}
"""Charts that only one sort of experiment has."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, digits: Dataset) -> dict[str, ExperimentResult]:
    results: Path = tmp_path_factory.mktemp("results")
    found = [put(results, digits), put(results, digits, *SWEEP), put(results, digits, *TUNED)]
    return {comparison.name: comparison for comparison in found}


def views(spec: dict) -> list[dict]:
    """Every view of a specification that holds marks."""
    parts = [*spec.get("layer", []), *([spec["spec"]] if "spec" in spec else [])]
    return [spec] * ("mark" in spec) + [view for part in parts for view in views(part)]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("sort", ["tiny", "swept", "tuned"])
def test_a_chart_is_drawn_or_there_is_nothing_to_draw(made, name, sort):
    drawn = CHARTS[name].draw(made[sort].chart_data)
    if ONLY.get(name, sort) != sort:
        assert drawn is None
        return
    # Held against the schema here, which takes longer than all else.
    spec = with_theme(drawn, made[sort].chart_data, "title").to_dict()
    assert len(spec["description"]) > 40
    picture = vl_convert.vegalite_to_svg(json.dumps(spec, allow_nan=False))
    assert picture.startswith("<svg")
    assert "NaN" not in picture


@pytest.mark.parametrize("name", NAMES)
def test_every_chart_says_what_it_is(name):
    chart = CHARTS[name]
    assert chart.title
    assert chart.about.endswith(".")
    assert set(chart.scales) <= {"x", "y"}


@pytest.mark.parametrize("name", NAMES)
def test_without_numbers_there_is_no_chart(name):
    assert CHARTS[name].draw(ChartData(["none"], [], "none", 0.9)) is None


@pytest.mark.parametrize("name", NAMES)
def test_every_mark_that_has_a_norms_colour_lists_all_norms_in_order(made, name):
    sort = ONLY.get(name, "tiny")
    spec = CHARTS[name].draw(made[sort].chart_data).to_dict(validate=False)
    domains = [
        view["encoding"]["color"]["scale"]["domain"]
        for view in views(spec)
        if view["encoding"].get("color", {}).get("field") == "norm"
    ]
    assert all(domain == ["none", "batch", "rms"] for domain in domains)
    assert domains or name in ("gradients", "matrix")


def test_the_story_has_every_chart_once():
    assert sorted(chart_order()) == NAMES
    assert chart_order()[:3] == ["matrix", "forest", "curves"]


def test_a_comparison_gives_its_charts_by_name(made):
    chart = made["tiny"].chart("curves")
    category = chart.to_dict()["config"]["range"]["category"]
    assert category == theme(["none", "batch", "rms"])["range"]["category"]


def test_an_unknown_chart_is_told_with_the_nearest(made):
    with pytest.raises(ConfigError, match="did you mean 'curves'"):
        made["tiny"].chart("curvs")


def test_a_chart_without_anything_to_draw_is_told(made):
    with pytest.raises(ConfigError, match="nothing to draw for the chart 'sweep'"):
        made["tiny"].chart("sweep")


def test_the_curve_of_a_diverged_run_ends_at_chance(made):
    frame = made["tiny"].chart_data.accuracy
    last = frame[(frame["norm"] == "rms") & (frame["step"] == 12)].iloc[0]
    assert last["low"] == pytest.approx(0.1)
    assert last["runs"] == 3


def test_what_became_of_a_norm_that_diverged_under_every_seed_is_told(tmp_path, digits):
    def told(run):
        curve = {0: 0.1, 5: 0.6, 12: 0.7}
        probes = [probed(step) for step in (0, 11)]
        if run.norm == "none":
            return finishes(curve, probes=probes)
        return [*diverges(7, 8)[:-2], evaluated(5, 0.9, 0.4), *diverges(7, 8)[-2:]]

    play(tmp_path, experiment(), digits, told)
    chart_data = compare("tiny", results=tmp_path).chart_data
    captions = {
        name: CHARTS[name].draw(chart_data).to_dict(validate=False)["description"]
        for name in ("curves", "loss")
    }
    assert "At the end (medians): none 30.0 %, batch 90.0 %." in captions["curves"]
    assert "At the end (medians): none 1, batch diverged." in captions["loss"]
    assert "Not every seed of batch learned: its seeds are thin lines." in captions["curves"]
    spread = CHARTS["activations"].draw(chart_data).to_dict(validate=False)["description"]
    assert "Not measured at step 11: batch." in spread


def test_layers_and_steps_that_are_left_out_are_told(made):
    chart_data = made["tiny"].chart_data
    described = CHARTS["gradients"].draw(chart_data).to_dict(validate=False)["description"]
    assert "Drawn are" not in described
    deep = replace(chart_data, layers=chart_data.layers.assign(depth=80, probed=100))
    described = CHARTS["gradients"].draw(deep).to_dict()["description"]
    assert described.endswith("Drawn are 3 of 80 layers and 3 of 100 probed steps.")
    described = CHARTS["activations"].draw(deep).to_dict()["description"]
    assert described.endswith("Drawn are 3 of 80 layers.")


def test_a_sweep_of_one_value_names_it_in_every_panel(tmp_path, digits):
    found = put(tmp_path, digits, "name=single", "sweep={model.depth: [3]}")
    facet = CHARTS["gradients"].draw(found.chart_data).to_dict(validate=False)["facet"]
    assert facet["sort"] == ["none, depth=3", "batch, depth=3", "rms, depth=3"]


@pytest.mark.parametrize("name", NAMES)
def test_every_chart_names_the_definitions_of_what_it_shows(name):
    assert CHARTS[name].defines
    assert set(CHARTS[name].defines) <= set(GLOSSARY)


def test_a_run_without_effective_ranks_has_no_chart_of_them(tmp_path, digits):
    config = experiment("name=older", "seeds=1")
    play(tmp_path, config, digits, lambda _: finishes({12: 0.5}, probes=[probed(0), probed(11)]))
    chart_data = compare("older", results=tmp_path).chart_data
    assert CHARTS["likeness"].draw(chart_data) is None
    assert CHARTS["activations"].draw(chart_data) is not None


def test_data_keep_five_digits_and_nothing_infinite():
    frame = pd.DataFrame({"a": [1.23456789, np.inf, np.nan], "b": [1, 2, 3]})
    assert source(frame).to_dict()["values"] == [
        {"a": 1.2346, "b": 1},
        {"a": None, "b": 2},
        {"a": None, "b": 3},
    ]


def test_of_many_sweep_points_evenly_spread_ones_are_drawn_and_the_rest_is_told():
    frame = pd.DataFrame({"norm": "none", "model.depth": range(50), "x": 1.0})
    shown, panels, note = add_panels(frame, ["model.depth"])
    assert len(panels) == len(shown) == MOST_PANELS
    assert panels[0] == "depth=0"
    assert panels[-1] == "depth=49"
    assert "12 of 50 sweep points" in note


def test_a_vanished_gradient_breaks_no_chart(made):
    chart_data = made["tiny"].chart_data
    layers = chart_data.layers.assign(activation_gradient=0.0, activation_out_std=0.0)
    growth = chart_data.growth.assign(growth=0.0)
    broken = replace(chart_data, layers=layers, growth=growth)
    for name in ("gradients", "activations", "growth"):
        drawn = CHARTS[name].draw(broken)
        if drawn is not None:
            vl_convert.vegalite_to_svg(drawn.to_json())
