"""The charts of the first screen: the forest, the sweep's matrix, the curves, seed by seed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from reported import SWEEP
from scripted import finishes, play
from tiny import experiment

from normbench.analysis.rule import MARKS
from normbench.api import compare
from normbench.charts.base import CHARTS, ChartData
from normbench.charts.judged import JUDGED, floor, ticks
from normbench.charts.marks import apart, with_theme
from normbench.data import Dataset
from normbench.results.chart_data import about, judged_rows
from normbench.results.experiment import ExperimentResult

NORMS = ["none", "batch", "layer", "rms"]
LEVELS = {"none": 0.1, "batch": 0.9, "layer": 0.85, "rms": 0.8}


def trained(results: Path, digits: Dataset, *overrides: str) -> ExperimentResult:
    """Eight seeds each; none never leaves chance, batch leads by a little."""

    def script(run):
        level = LEVELS[run.norm] + 0.002 * (run.seed if run.norm != "none" else 0)
        return finishes({0: 0.1, 5: level, 12: level})

    wanted = experiment(f"norms=[{', '.join(NORMS)}]", "seeds=8", *overrides)
    play(results, wanted, digits, script)
    return compare(wanted.name, results=results)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, digits: Dataset) -> ExperimentResult:
    return trained(tmp_path_factory.mktemp("results"), digits)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, digits: Dataset) -> ExperimentResult:
    return trained(tmp_path_factory.mktemp("results"), digits, *SWEEP)


def rows(chart: str, chart_data: ChartData) -> pd.DataFrame:
    """The largest table that a chart holds."""
    spec = CHARTS[chart].draw(chart_data).to_dict(validate=False)
    return pd.DataFrame(max(spec["datasets"].values(), key=len))


def described(chart: str, chart_data: ChartData) -> str:
    return CHARTS[chart].draw(chart_data).to_dict(validate=False)["description"]


def test_the_forest_has_a_row_a_norm_with_the_best_sets_numbers(tiny):
    found = rows("forest", tiny.chart_data).set_index("norm")
    table = tiny.answered.best_set.set_index("norm")
    assert found["rank"].idxmin() == "batch"
    for norm in NORMS:
        assert found.loc[norm, "difference"] == pytest.approx(table.loc[norm, "difference"], 1e-4)
        assert found.loc[norm, "verdict"] == table.loc[norm, "verdict"]
    assert found.loc["batch", "words"] == "★ leader"
    assert found.loc["none", "words"] == "▼ worse"
    assert (found["margin"] == 0.01).all()


def test_a_norm_too_far_away_stands_at_the_edge_and_leaves_the_others_room(tiny):
    found = rows("forest", tiny.chart_data).set_index("norm")
    assert found["far"].to_dict() == {"none": True, "batch": False, "layer": False, "rms": False}
    assert pd.isna(found.loc["none", "difference_shown"])
    spec = CHARTS["forest"].draw(tiny.chart_data).to_dict(validate=False)
    (ends,) = {tuple(v["encoding"]["x"]["scale"]["domain"]) for v in spec["layer"] if _domain(v)}
    low, high = ends
    assert -0.4 < low < high < 0.1
    assert "An arrow at the edge" in described("forest", tiny.chart_data)


def _domain(view: dict) -> bool:
    return "domain" in (view["encoding"].get("x", {}).get("scale") or {})


def test_without_a_nearer_norm_nothing_is_too_far(tiny):
    best = tiny.chart_data.best
    two = replace(tiny.chart_data, best=best[best["norm"].isin(["batch", "none"])])
    assert not rows("forest", two)["far"].any()


def test_a_norm_without_any_result_has_no_point_and_no_interval(tiny):
    best = tiny.chart_data.best.copy()
    numbers = ["value", "difference", "ci_low", "ci_high"]
    best.loc[best["norm"] == "rms", numbers] = np.nan
    best.loc[best["norm"] == "rms", "verdict"] = "too few seeds (needs 7)"
    found = rows("forest", replace(tiny.chart_data, best=best)).set_index("norm")
    assert found.loc["rms", "told"] == "–"
    assert found.loc["rms", "words"] == "· too few seeds"


def test_an_interval_without_an_end_reaches_beyond_the_others(tiny):
    best = tiny.chart_data.best.copy()
    best.loc[best["norm"] == "rms", "ci_low"] = -np.inf
    chart_data = replace(tiny.chart_data, best=best)
    found = rows("forest", chart_data).set_index("norm")
    assert not found.loc["rms", "far"]
    assert found.loc["rms", "ci_low_shown"] < found.loc["layer", "ci_low_shown"]
    json.dumps(CHARTS["forest"].draw(chart_data).to_dict(validate=False), allow_nan=False)


def test_the_margin_of_steps_is_a_share_of_the_leaders(tiny):
    rule = replace(tiny.answered.rule, metric="steps_to_target", similar_within=0.1)
    best = pd.DataFrame({"norm": ["a", "b"] * 2, "k": [1, 1, 2, 2], "rank": [0, 1] * 2})
    best["value"] = [50.0, 60.0, 200.0, 300.0]
    assert judged_rows(best, ["k"], rule)["margin"].tolist() == [5.0, 5.0, 20.0, 20.0]
    assert judged_rows(best[:2], [], rule)["margin"].tolist() == [5.0, 5.0]


@pytest.mark.parametrize("metric", sorted(JUDGED))
def test_forest_matrix_and_seeds_are_drawn_in_every_metric_that_may_judge(swept, metric):
    config = swept.results.config
    config = {**config, "verdict": {**config["verdict"], "metric": metric}}
    found = ExperimentResult(replace(swept.results, config=config))
    for chart in ("forest", "matrix", "seeds"):
        assert JUDGED[metric].title in str(
            CHARTS[chart].draw(found.chart_data).to_dict(validate=False)
        )


def test_the_matrix_marks_each_cell_against_the_best_of_its_column(swept):
    cells = rows("matrix", swept.chart_data)
    assert len(cells) == 2 * len(NORMS)
    for _, column in cells.groupby("at"):
        assert (column["mark"] == MARKS["leader"]).sum() == 1
        best = column.loc[column["value"].idxmax()]
        assert best["leads"]
        assert best["shade"] == cells["shade"].max() == 1
    assert (cells.loc[cells["norm"] == "none", "mark"] == MARKS["worse"]).all()


def test_curves_show_the_error_on_a_logarithm_or_the_accuracy(tiny):
    spec = CHARTS["curves"].draw(tiny.chart_data).to_dict(validate=False)
    other = CHARTS["curves"].views["accuracy"](tiny.chart_data).to_dict(validate=False)
    kinds = [
        {view["encoding"]["y"]["scale"]["type"] for view in one["layer"] if _scaled(view)}
        for one in (spec, other)
    ]
    assert kinds == [{"log"}, {"linear"}]
    assert "1 - datum.median" in str(spec["transform"])
    assert "At the end (medians): none 90.0 %, batch 9.3 %" in spec["description"]
    assert "none 10.0 %, batch 90.7 %" in other["description"]


def _scaled(view: dict) -> bool:
    return bool(view["encoding"].get("y", {}).get("scale"))


def test_a_norm_that_did_not_learn_is_drawn_seed_by_seed_and_the_others_as_bands(tiny):
    found = rows("curves", tiny.chart_data)
    kinds = found.groupby("norm")["kind"].unique().map(list).to_dict()
    assert kinds == {"none": ["seed"], "batch": ["band"], "layer": ["band"], "rms": ["band"]}
    assert found.loc[found["norm"] == "none", "seed"].nunique() == 8
    assert "Not every seed of “none” learned" in described("curves", tiny.chart_data)


def test_an_error_of_zero_has_a_place_below_all_others(tmp_path, digits):
    play(tmp_path, experiment("seeds=2"), digits, lambda r: finishes({0: 0.1, 5: 0.99, 12: 1.0}))
    chart_data = compare("tiny", results=tmp_path).chart_data
    spec = CHARTS["curves"].draw(chart_data).to_dict(validate=False)
    assert "max(1 - datum.median, 0.005)" in str(spec["transform"])
    assert "No error at all stands at the lower edge" in spec["description"]


def test_names_at_the_lines_ends_do_not_touch():
    rng = np.random.default_rng(0)
    for _ in range(50):
        places = sorted(rng.uniform(0, 100, size=6))
        moved = apart(places, 15, 100)
        assert min(np.diff(moved)) >= 15 - 1e-9
        assert moved == sorted(moved)
        assert moved[0] >= -1e-9
        assert moved[-1] <= 100 + 1e-9
    assert apart([10, 50, 90], 15, 100) == [10, 50, 90]
    assert apart([49, 51], 10, 100) == [45, 55]
    assert apart([], 10, 100) == []


def test_the_survival_chart_leaves_out_who_never_reached_the_target_and_says_so(tiny):
    assert set(rows("survival", tiny.chart_data)["norm"]) == {"batch", "layer", "rms"}
    assert "Under “none” no run reached it: not drawn." in described("survival", tiny.chart_data)


def test_where_nobody_reached_the_target_there_is_no_survival_chart(tmp_path, digits):
    found = trained(tmp_path, digits, "target={val_accuracy: 0.99}")
    assert CHARTS["survival"].draw(found.chart_data) is None


def test_seeds_are_the_runs_own_values(tiny):
    found = rows("seeds", tiny.chart_data)
    assert len(found) == 8 * len(NORMS)
    outcomes = tiny.answered.outcomes.set_index(["norm", "seed"])["auc"]
    for row in found.to_dict("records"):
        assert row["shown"] == pytest.approx(outcomes[row["norm"], row["seed"]], abs=1e-4)
        assert row["value"] == pytest.approx(1 - row["shown"], abs=1e-4)


def test_a_miss_of_the_target_is_a_hollow_point_beyond_the_budget(tmp_path, digits):
    found = trained(tmp_path, digits, "verdict={metric: steps_to_target}")
    cells = rows("seeds", found.chart_data)
    missed = cells[cells["norm"] == "none"]
    assert missed["missed"].all()
    assert (missed["value"] > 12).all()
    assert "Hollow points missed the target" in described("seeds", found.chart_data)


def test_time_has_its_range_over_runs(tiny):
    outcomes = tiny.chart_data.outcomes.assign(seconds_per_step=0.002)
    outcomes.loc[outcomes["seed"] == 3, "seconds_per_step"] = 0.005
    found = rows("cost", replace(tiny.chart_data, outcomes=outcomes)).set_index("norm")
    assert found.loc["batch", ["median", "min", "max", "count"]].tolist() == [2, 2, 5, 8]
    assert found.loc["batch", "text"] == "2 (2 to 5)"


def test_a_picture_carries_title_data_network_and_seeds(tiny):
    title = with_theme(
        CHARTS["curves"].draw(tiny.chart_data), tiny.chart_data, "Curves: tiny"
    ).title
    assert title.text == "Curves: tiny"
    assert " ".join(title.subtitle).startswith("digits, mlp, depth 3, width 16")
    assert title.subtitle[-1].endswith("8 seeds")


def test_what_is_swept_is_not_told_as_fixed(swept):
    assert "depth" not in about(swept.results)
    assert "width 16" in about(swept.results)


def test_no_panel_shares_an_axis_that_would_stand_below_an_empty_place(tmp_path, digits):
    found = trained(tmp_path, digits, "name=swept", "sweep={model.depth: [3, 4, 5]}")
    for chart in ("curves", "forest", "seeds", "loss", "survival"):
        spec = CHARTS[chart].draw(found.chart_data).to_dict(validate=False)
        assert spec["resolve"]["axis"]["x"] == "independent", chart


def test_ticks_are_ones_twos_and_fives():
    assert ticks([0.02, 0.9]) == [0.02, 0.05, 0.1, 0.2, 0.5]
    assert ticks([0.031, 0.034]) == [0.031, 0.034]
    assert ticks([np.nan, 0.0]) == []
    assert floor(pd.Series([0.0, 0.02, 0.1])) == 0.01
