"""One norm at two values of a sweep key."""

from __future__ import annotations

import pandas as pd
import pytest

from normbench.analysis.paired_by_value import against_norms, against_value


def outcome(effect: dict[str, dict[int, float]]) -> pd.DataFrame:
    """Eight seeds a norm and batch size; at size 2 half of them a little above the mean given."""
    rows = [
        {
            "run": f"{norm}{size}{seed}",
            "norm": norm,
            "seed": seed,
            "data.batch_size": size,
            "val_accuracy": mean + (size == 2) * 0.002 * (-1) ** seed,
        }
        for norm, means in effect.items()
        for size, mean in means.items()
        for seed in range(8)
    ]
    return pd.DataFrame(rows).assign(target=0.9, reached=True, censored=False, auc=0.5)


def test_the_norm_that_depends_on_the_batch_is_worse_and_the_other_is_not():
    frame = outcome({"batch": {2: 0.2, 64: 0.95}, "layer": {2: 0.95, 64: 0.95}})
    table = against_value(
        frame, "data.batch_size", 64, ["data.batch_size"], metric="val_accuracy"
    ).set_index("norm")
    assert table.loc["batch", "verdict"] == "worse"
    assert table.loc["batch", "difference"] == pytest.approx(-0.75, abs=0.01)
    assert table.loc["layer", "verdict"] == "similar"
    assert set(table["data.batch_size"]) == {2}
    assert set(table["pairs"]) == {8}


def test_other_sweep_keys_are_kept_apart():
    small = outcome({"batch": {2: 0.2, 64: 0.95}}).assign(**{"model.depth": 5})
    deep = outcome({"batch": {2: 0.95, 64: 0.95}}).assign(**{"model.depth": 40})
    frame = pd.concat([small, deep.assign(run=deep["run"] + "d")])
    keys = ["model.depth", "data.batch_size"]
    table = against_value(frame, "data.batch_size", 64, keys, metric="val_accuracy")
    verdicts = table.set_index("model.depth")["verdict"].to_dict()
    assert verdicts == {5: "worse", 40: "similar"}


def test_a_reference_that_was_not_run_is_refused():
    with pytest.raises(ValueError, match="32"):
        against_value(
            outcome({"batch": {2: 0.2, 64: 0.9}}), "data.batch_size", 32, [], metric="auc"
        )


def test_one_family_holds_all_marked_cells() -> None:
    frame = outcome({"batch": {2: 0.2, 64: 0.95}, "layer": {2: 0.95, 64: 0.95}})
    table = against_value(
        frame, "data.batch_size", 64, ["data.batch_size"], metric="val_accuracy"
    ).set_index("norm")
    # Two norms at one value each: the smaller p is doubled.
    assert table.loc["batch", "p_adjusted"] == 2 * table.loc["batch", "p_value"]


def test_each_value_is_marked_against_the_other_norms_at_the_same_value() -> None:
    frame = outcome({"batch": {2: 0.2, 64: 0.95}, "layer": {2: 0.9, 64: 0.5}})
    frame["val_accuracy"] += frame["seed"] * 0.001 * (frame["norm"] == "layer")
    table = against_norms(frame, ["batch", "layer"], ["data.batch_size"], metric="val_accuracy")
    verdicts = table.set_index(["norm", "data.batch_size"])["verdict"]
    assert verdicts["layer", 2] == verdicts["batch", 64] == "leader"
    assert verdicts["layer", 64] == verdicts["batch", 2] == "worse"
