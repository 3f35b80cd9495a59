"""Charts of more norms than lines can be told apart: a few stand out, the others stay visible."""

from __future__ import annotations

from dataclasses import replace

import pytest
import vl_convert
from reported import BEST, MANY_NORMS, many_norms

from normbench.charts.base import CHARTS, ChartData
from normbench.charts.family import by_family
from normbench.charts.marks import MANY, outstanding, with_theme

FAMILIES = {norm: "batch" if norm in ("batch", "ghost") else "others" for norm in MANY_NORMS}


@pytest.fixture(scope="module")
def many(tmp_path_factory, digits) -> ChartData:
    """Twelve norms of 6 seeds, one of which learns best."""
    results = tmp_path_factory.mktemp("many")
    return replace(many_norms(results, digits).chart_data, families=FAMILIES)


def drawn(chart_data, name):
    chart = CHARTS[name].draw(chart_data)
    vl_convert.vegalite_to_svg(with_theme(chart, chart_data, "t").to_json())
    return chart.to_dict(validate=False)


def rows(spec, view=None):
    """The data of a chart, or of a view that has its own."""
    data = (view or spec)["data"]
    return data["values"] if "values" in data else spec["datasets"][data["name"]]


def views(spec):
    parts = [*spec.get("layer", []), *([spec["spec"]] if "spec" in spec else [])]
    return [spec] * ("mark" in spec) + [view for part in parts for view in views(part)]


def test_the_leader_and_the_baseline_stand_out_of_many_and_nobody_of_few(many):
    assert len(MANY_NORMS) > MANY
    assert outstanding(many) == ["none", BEST]
    assert outstanding(replace(many, norms=MANY_NORMS[:MANY])) == []


@pytest.mark.parametrize("name", ["curves", "loss", "survival", "activations", "likeness"])
def test_lines_of_many_norms_are_grey_but_for_those_and_the_one_under_the_pointer(many, name):
    spec = drawn(many, name)
    lines = [v for v in views(spec) if v["mark"]["type"] == "line" and "color" in v["encoding"]]
    assert lines
    for line in lines:
        test = line["encoding"]["color"]["condition"]["test"]["or"]
        assert test[0] == {"field": "norm", "oneOf": ["none", BEST]}
        assert test[1] == {"param": "pointed", "empty": False}
        assert line["encoding"]["color"]["value"].startswith("#8")
    pointed = [p["name"] for p in spec.get("params", [])]
    pointed += [p["name"] for view in views(spec) for p in view.get("params", [])]
    assert pointed == ["pointed"]
    said = spec["description"]
    assert "“none” and switchable, of those that lead and the baseline; the other 10 norms" in said


def test_every_norm_keeps_its_line_and_its_tooltip(many):
    spec = drawn(many, "curves")
    assert {row["norm"] for row in rows(spec)} == set(MANY_NORMS)
    named = [v for v in views(spec) if v["mark"]["type"] == "text" and "data" in v]
    names = [row["norm"] for view in named for row in rows(spec, view) if "norm" in row]
    assert sorted(names) == ["none", BEST]


def test_the_legend_of_many_norms_names_those_that_stand_out(many):
    for name in ("survival", "likeness"):
        colours = [v["encoding"]["color"] for v in views(drawn(many, name))]
        values = [c["condition"]["legend"]["values"] for c in colours if "condition" in c]
        assert values
        assert all(set(v) <= {"none", BEST} for v in values)


def test_the_forest_of_many_norms_is_sorted_by_difference_with_a_low_row_each(many):
    spec = drawn(many, "forest")
    (order,) = {tuple(v["encoding"]["y"]["sort"]) for v in views(spec) if "y" in v["encoding"]}
    by_norm = {row["norm"]: row for row in rows(spec)}
    assert order[0] == BEST
    differences = [by_norm[norm].get("difference") or 0.0 for norm in order]
    assert differences == sorted(differences, reverse=True)
    assert spec["height"] < 30 * len(MANY_NORMS)
    assert all(row["words"] in row["told"] for row in by_norm.values())


def test_a_family_is_a_panel_with_the_leader_and_the_baseline_beside(many):
    spec = by_family(many).to_dict()
    vl_convert.vegalite_to_svg(with_theme(by_family(many), many, "t").to_json())
    assert spec["facet"]["sort"] == ["others", "batch"]
    values = rows(spec)

    def norms(panel, kind):
        return {r["norm"] for r in values if (r["panel"], r["kind"]) == (panel, kind)}

    assert norms("batch", "line") == norms("batch", "name") == {"batch", "ghost"}
    assert norms("batch", "beside") == {"none", BEST}
    assert norms("others", "line") == set(MANY_NORMS) - {"batch", "ghost"}
    assert not norms("others", "beside")
    assert by_family(replace(many, families={})) is None


@pytest.mark.parametrize("name", ["growth", "seeds", "gradients", "cost"])
def test_other_charts_of_many_norms_can_be_drawn(many, name):
    assert drawn(many, name)["description"]
