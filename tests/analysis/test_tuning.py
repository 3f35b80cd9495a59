"""The choice of a tuned value, on made-up tuning runs."""

from __future__ import annotations

import pandas as pd
import pytest

from normbench.analysis import tuning
from normbench.analysis.tuning import against_shared, trains

TARGET = 0.9


def sensitivity(frame: pd.DataFrame, keys: list[str], norms: list[str]) -> pd.DataFrame:
    return tuning.sensitivity(frame, keys, norms, target=TARGET)


def choose(table: pd.DataFrame, keys: list[str], metric: str = "val_accuracy") -> pd.DataFrame:
    return tuning.choose(table, keys, metric)


GRID = [0.01, 0.1, 1.0]


def runs(norm: str, accuracies: list[list[float]], grid: list[float] = GRID) -> pd.DataFrame:
    """One row a value and seed; 0.1 stands for a diverged run."""
    rows = [
        {"norm": norm, "tuned": value, "val_accuracy": accuracy, "auc": accuracy / 2}
        for value, of_value in zip(grid, accuracies, strict=True)
        for accuracy in of_value
    ]
    frame = pd.DataFrame(rows).assign(num_classes=10)
    frame["steps_to_target"] = frame["val_accuracy"].map(
        lambda a: 10 / a if a > 0.5 else float("inf")
    )
    frame["state"] = frame["val_accuracy"].map(lambda a: "diverged" if a == 0.1 else "finished")
    return frame


def test_the_best_value_has_the_highest_mean_validation_accuracy():
    frame = runs("batch", [[0.80, 0.82], [0.90, 0.92], [0.95, 0.1]])
    table = sensitivity(frame, [], ["batch"])
    assert table["val_accuracy_mean"].tolist() == pytest.approx([0.81, 0.91, 0.525])
    assert table["diverged"].tolist() == [0, 0, 1]
    chosen = choose(table, []).iloc[0]
    assert chosen["best"] == 0.1
    assert chosen["at_edge"] == ""


def test_a_best_value_at_the_edge_of_the_grid_is_flagged():
    frame = pd.concat(
        [
            runs("none", [[0.9, 0.9], [0.5, 0.5], [0.1, 0.1]]),
            runs("batch", [[0.5, 0.5], [0.6, 0.6], [0.7, 0.7]]),
        ]
    )
    chosen = choose(sensitivity(frame, [], ["none", "batch"]), []).set_index("norm")
    assert chosen["at_edge"].to_dict() == {"none": "lowest", "batch": "highest"}


def test_the_largest_value_that_trains_gains_half_of_what_the_target_is_above_chance():
    # Chance is 0.1 and the target 0.9: 0.5 is the least that counts as training.
    frame = runs("rms", [[0.9, 0.9], [0.51, 0.51], [0.49, 0.49]])
    assert choose(sensitivity(frame, [], ["rms"]), []).iloc[0]["largest_that_trains"] == 0.1
    assert trains(0.5, 0.1, 0.9)
    assert not trains(0.499, 0.1, 0.9)


def test_the_largest_value_that_trains_depends_on_no_other_norm():
    weak = runs("none", [[0.6, 0.6], [0.52, 0.52], [0.3, 0.3]])
    strong = runs("batch", [[0.99, 0.99]] * 3)
    alone = choose(sensitivity(weak, [], ["none"]), []).set_index("norm")
    both = choose(sensitivity(pd.concat([weak, strong]), [], ["none", "batch"]), [])
    largest = both.set_index("norm")["largest_that_trains"]
    assert largest["none"] == alone.loc["none", "largest_that_trains"] == 0.1


@pytest.mark.parametrize(
    ("metric", "best"),
    [("val_accuracy", 0.01), ("test_accuracy", 0.01), ("auc", 0.1), ("steps_to_target", 1.0)],
)
def test_the_choice_is_by_the_metric_that_is_judged(metric: str, best: float):
    frame = runs("rms", [[0.9], [0.8], [0.7]])
    frame = frame.assign(auc=[0.5, 0.7, 0.6], steps_to_target=[300, 200, 100])
    assert choose(sensitivity(frame, [], ["rms"]), [], metric).iloc[0]["best"] == best


def test_by_steps_a_value_at_which_most_runs_miss_comes_last():
    frame = runs("rms", [[0.9, 0.9, 0.9], [0.8, 0.8, 0.8]], [0.1, 0.2])
    frame["steps_to_target"] = [100, float("inf"), float("inf"), 500, 600, float("inf")]
    assert choose(sensitivity(frame, [], ["rms"]), [], "steps_to_target").iloc[0]["best"] == 0.2


def reporting(**accuracies: list[float]) -> pd.DataFrame:
    rows = [
        {"norm": norm, "seed": seed, "auc": auc}
        for norm, of_norm in accuracies.items()
        for seed, auc in enumerate(of_norm)
    ]
    return pd.DataFrame(rows)


def test_an_own_best_that_does_worse_than_the_shared_value_is_told():
    best = reporting(none=[0.5, 0.6], batch=[0.7, 0.9], rms=[float("nan")])
    shared = reporting(none=[0.6, 0.8], batch=[0.6, 0.8, 0.1], rms=[0.5])
    found = against_shared(best, shared, [], "auc").set_index("norm")
    assert found["gain"].tolist() == pytest.approx([-0.15, 0.1, float("nan")], nan_ok=True)
    assert found["worse"].tolist() == [True, False, False]
    assert found["pairs"].tolist() == [2, 2, 0]


def test_no_value_trains_a_norm_that_stays_at_chance():
    frame = runs("none", [[0.1, 0.1]] * 3)
    chosen = choose(sensitivity(frame, [], ["none"]), []).iloc[0]
    assert pd.isna(chosen["largest_that_trains"])


def test_of_equal_accuracies_the_larger_area_under_the_curve_wins():
    frame = runs("rms", [[0.9], [0.9], [0.8]]).assign(auc=[0.5, 0.6, 0.7])
    assert choose(sensitivity(frame, [], ["rms"]), []).iloc[0]["best"] == 0.1


def test_every_sweep_point_has_its_own_choice():
    shallow = runs("none", [[0.5], [0.9], [0.8]]).assign(**{"model.depth": 5})
    deep = runs("none", [[0.9], [0.5], [0.1]]).assign(**{"model.depth": 40})
    table = sensitivity(pd.concat([deep, shallow]), ["model.depth"], ["none"])
    chosen = choose(table, ["model.depth"])
    assert chosen[["model.depth", "best"]].values.tolist() == [[5, 0.1], [40, 0.01]]


def test_failed_runs_do_not_take_part():
    frame = runs("none", [[0.9, 0.9], [0.95, 0.95], [0.8, 0.8]])
    frame.loc[frame["tuned"] == 0.1, "val_accuracy"] = float("nan")
    frame.loc[frame["tuned"] == 0.1, "state"] = "failed"
    table = sensitivity(frame, [], ["none"])
    assert table["tuned"].tolist() == [0.01, 1.0]
