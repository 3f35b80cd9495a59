"""The config in a record: what its readers rely on, whoever wrote it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from scripted import finishes, play, unseal
from tiny import experiment

from normbench.analysis.rule import MARGINS
from normbench.api import compare
from normbench.errors import StoreError
from normbench.store import ExperimentStore
from normbench.store.experiment import COPY, PLAN
from normbench.store.recorded import fault_of_config

TUNED = "tune={optimizer.lr: [0.1, 0.2], seeds: 3}"
OTHERS: list[tuple[str, Any]] = [
    *(("target", value) for value in (None, 0.5, {}, {"val_accuracy": 0.5}, {"val_accuracy": []})),
    *(("target", value) for value in ({"from": "none"}, {"val_accuracy": ["x"]})),
    *(("verdict", value) for value in (3, "auc", [1], {"metric": "loss"}, {"similar_within": 0})),
    *(("seeds", value) for value in (None, True, 0, "x", [], {"from": 4}, [-1])),
    *(("tune", value) for value in (3, {"seeds": 3}, {"a.b": [1], "seeds": 3})),
    *(("tune", value) for value in ({"optimizer.lr": 3, "seeds": 3}, {"optimizer.lr": [0.1]})),
    *(("sweep", value) for value in (3, [1], {"model.depth": 3}, {"norm": ["a"]})),
    *(("data", value) for value in (None, [], {"dataset": []}, {"validation": "x"})),
    *(("model", value) for value in (3, {"activation": []}, {"kind": {}})),
    *(("training", value) for value in (3, None, {"precision": 3})),
    *(("runtime", value) for value in (3, [1], {"threads": "x"})),
    *(("report", value) for value in (3, {"misclassified": "x"})),
    *(("norms", value) for value in (None, "none", [3], [{"kind": []}])),
    *(("baseline", value) for value in (3, [])),
]


@pytest.mark.parametrize(
    "given", [(), ("target={from: none, pilot_seeds: 2}",), ("seeds=auto",), (TUNED,)]
)
def test_what_a_config_resolves_to_has_no_fault(given):
    assert fault_of_config(experiment(*given).resolved()) == ""


@pytest.mark.parametrize("metric", MARGINS)
def test_every_metric_that_may_judge_is_known(metric):
    assert fault_of_config({"verdict": {"metric": metric}}) == ""


@pytest.mark.parametrize(("key", "value"), OTHERS)
def test_a_value_of_another_type_is_named(key, value):
    assert fault_of_config({**experiment().resolved(), key: value}).startswith(f"config.{key}")


@pytest.mark.parametrize(
    ("key", "value"),
    [("config", {}), ("runs", []), ("rules", [3]), ("looked_at", "x"), ("given", [1])],
)
def test_an_unsealed_record_of_other_types_is_refused_in_a_sentence(tmp_path, digits, key, value):
    play(tmp_path, experiment(), digits, lambda _: finishes({0: 0.1, 12: 0.7}))
    store = ExperimentStore(tmp_path, "tiny")
    for folder in store.folders():
        unseal(store.path / folder)
    plan = json.loads((store.path / PLAN).read_text())
    del plan["seal"]
    (store.path / COPY).unlink()
    (store.path / PLAN).write_text(json.dumps(plan))
    assert compare("tiny", results=tmp_path).results.unsealed  # as an earlier normbench left it
    (store.path / PLAN).write_text(json.dumps({**plan, key: value}))
    with pytest.raises(StoreError, match="damaged"):
        compare("tiny", results=tmp_path)
