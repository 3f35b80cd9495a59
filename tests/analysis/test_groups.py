"""Sweep points as codes."""

from __future__ import annotations

import pandas as pd
import pytest

from normbench.analysis.groups import norm_codes, point_at, sweep_points


def test_points_are_sorted_by_the_keys_from_left_to_right() -> None:
    frame = pd.DataFrame({"depth": [20, 10, 20, 10], "lr": [0.1, 0.3, 0.01, 0.3]})
    codes, points = sweep_points(frame, ["depth", "lr"])
    assert points.to_numpy().tolist() == [[10, 0.3], [20, 0.01], [20, 0.1]]
    assert codes.tolist() == [2, 0, 1, 0]


def test_a_whole_number_stays_whole_beside_a_fraction() -> None:
    _, points = sweep_points(pd.DataFrame({"depth": [2, 4], "lr": [0.1, 0.3]}), ["depth", "lr"])
    assert [repr(value) for value in point_at(points, 1).values()] == ["4", "0.3"]


def test_without_keys_there_is_one_point() -> None:
    codes, points = sweep_points(pd.DataFrame({"a": [1, 2]}), [])
    assert codes.tolist() == [0, 0]
    assert len(points) == 1
    assert len(points.columns) == 0


def test_values_may_be_missing_mixed_or_lists() -> None:
    values = [[64, 32], None, "relu", 0.5, [64, 32]]
    codes, points = sweep_points(pd.DataFrame({"key": pd.Series(values, dtype=object)}), ["key"])
    assert len(points) == 4
    assert codes[0] == codes[4]
    assert len(set(codes)) == 4


def test_no_runs_have_no_points() -> None:
    codes, points = sweep_points(pd.DataFrame({"depth": []}), ["depth"])
    assert len(codes) == len(points) == 0


def test_an_unknown_key_and_a_doubled_norm_are_refused() -> None:
    frame = pd.DataFrame({"norm": ["batch"]})
    with pytest.raises(ValueError, match=r"lacks the columns model\.depth"):
        sweep_points(frame, ["model.depth"])
    with pytest.raises(ValueError, match="twice"):
        norm_codes(frame, ["batch", "batch"])
