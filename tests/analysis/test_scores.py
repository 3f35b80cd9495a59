"""Numbers that others made."""

from __future__ import annotations

import numpy as np
import pytest

import normbench
from normbench.analysis.scores import compare_scores
from normbench.errors import ConfigError

RNG = np.random.default_rng(0)
SCORES = {
    "batch": list(RNG.normal(0.9, 0.01, 10)),
    "layer": list(RNG.normal(0.7, 0.01, 10)),
    "rms": list(RNG.normal(0.5, 0.01, 10)),
}


def test_the_best_set_and_the_comparisons_with_a_baseline_come_out() -> None:
    result = normbench.compare_scores(SCORES, baseline="rms")
    assert result.best_set["norm"].tolist()[0] == "batch"
    assert result.best_set["verdict"].tolist() == ["leader", "worse", "worse"]
    assert result.comparisons["verdict"].tolist() == ["better", "better"]
    assert "batch leads with 0.9" in str(result)
    assert "layer against rms: +0.19" in str(result)
    assert compare_scores(SCORES).comparisons.empty


def test_where_lower_is_better_the_numbers_keep_their_direction() -> None:
    result = compare_scores(SCORES, higher_is_better=False, baseline="batch")
    assert result.best_set["norm"].iloc[0] == "rms"
    assert result.best_set["value"].iloc[0] == pytest.approx(0.5, abs=0.01)
    worst = result.best_set.iloc[-1]
    assert 0 < worst["ci_low"] < worst["difference"] < worst["ci_high"]
    assert (result.comparisons["verdict"] == "better").all()
    assert (result.comparisons["ci_high"] < 0).all()


def test_similar_needs_a_margin() -> None:
    shared = RNG.normal(0.9, 0.01, 12)
    noise = np.tile([0.001, -0.0012, 0.0005], 4)
    near = {"a": list(shared), "b": list(shared + noise)}
    assert compare_scores(near).best_set["verdict"].iloc[1] == "undecided"
    assert compare_scores(near, similar_within=0.01).best_set["verdict"].iloc[1] == "similar"


def test_missing_scores_take_their_pair_out() -> None:
    holed = {"a": [1.0, None, 3.0, 4, 5, 6, 7], "b": [0.5, 1, 2.2, 3.1, 4.3, 5.2, float("nan")]}
    assert compare_scores(holed, baseline="a").comparisons["pairs"].tolist() == [5]


def test_mistakes_are_named() -> None:
    with pytest.raises(ConfigError, match="at least two names"):
        compare_scores({"a": [1.0]})
    with pytest.raises(ConfigError, match="equally long"):
        compare_scores({"a": [1.0], "b": [1.0, 2.0]})
    with pytest.raises(ConfigError, match="infinite"):
        compare_scores({"a": [float("inf")], "b": [1.0]})
    with pytest.raises(ConfigError, match="above 0"):
        compare_scores({"a": [1.0], "b": [1.0]}, similar_within=0)
    with pytest.raises(ConfigError, match="unknown norm"):
        compare_scores({"a": [1.0], "b": [1.0]}, baseline="c")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("power", [500, 1000, -560, -1000])
@pytest.mark.parametrize("higher", [True, False])
def test_scores_of_any_size_are_compared_as_those_of_size_one(power: int, higher: bool) -> None:
    rng = np.random.default_rng(0)
    scores = {name: 5 + shift + rng.normal(size=8) for name, shift in (("a", 0), ("b", 1))}
    scaled = {name: np.ldexp(values, power) for name, values in scores.items()}
    options = {"higher_is_better": higher, "baseline": "a"}
    small = compare_scores(scores, similar_within=0.1, **options)
    large = compare_scores(scaled, similar_within=float(np.ldexp(0.1, power)), **options)
    for before, after in (
        (small.best_set, large.best_set),
        (small.comparisons, large.comparisons),
    ):
        told = ("value", "difference", "ci_low", "ci_high", "detectable")
        numbers = [name for name in told if name in before]
        for key in numbers:
            want = np.ldexp(before[key].to_numpy(dtype=float), power)
            assert after[key].to_numpy(dtype=float) == pytest.approx(want, rel=1e-9, nan_ok=True)
        assert after.drop(columns=numbers).equals(before.drop(columns=numbers))
