"""Norms down, values of one key across."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from normbench.analysis.pivot import pivot
from normbench.errors import ConfigError

TABLE = pd.DataFrame(
    {
        "norm": ["none", "batch", "none", "batch", "none"],
        "model.depth": [10, 10, 20, 20, 5],
        "steps_to_target": [300.0, 100.0, math.inf, 200.0, 50.0],
        "verdict": ["", "better", "", "better", ""],
    }
)


def test_values_stand_across_sorted_and_norms_down_in_their_order() -> None:
    wide = pivot(TABLE, "steps_to_target", "model.depth", ["model.depth"])
    assert wide.index.tolist() == ["none", "batch"]
    assert wide.columns.tolist() == [5, 10, 20]
    assert wide.columns.name == "model.depth"
    assert wide.loc["none"].tolist() == [50, 300, math.inf]
    assert wide.loc["batch"].iloc[1:].tolist() == [100, 200]
    assert math.isnan(wide.loc["batch", 5])


def test_words_pivot_as_well_as_numbers() -> None:
    assert pivot(TABLE, "verdict", "model.depth").loc["batch", 20] == "better"


def test_other_keys_stay_in_the_rows() -> None:
    table = pd.concat([TABLE.assign(lr=0.1), TABLE.assign(lr=0.01, steps_to_target=1.0)])
    wide = pivot(table, "steps_to_target", "model.depth", ["model.depth", "lr"])
    assert wide.index.names == ["norm", "lr"]
    assert wide.index.tolist() == [("none", 0.01), ("batch", 0.01), ("none", 0.1), ("batch", 0.1)]
    assert wide.loc[("none", 0.1), 10] == 300


def test_an_unknown_key_or_metric_is_an_error_with_a_suggestion() -> None:
    with pytest.raises(ConfigError, match=r"did you mean 'model\.depth'"):
        pivot(TABLE, "steps_to_target", "model.deptt", ["model.depth"])
    with pytest.raises(ConfigError, match="did you mean 'steps_to_target'"):
        pivot(TABLE, "steps_to_targt", "model.depth", ["model.depth"])


def test_rows_that_norm_and_point_do_not_identify_are_refused() -> None:
    with pytest.raises(ValueError, match="choose one target"):
        pivot(pd.concat([TABLE, TABLE]), "steps_to_target", "model.depth")
