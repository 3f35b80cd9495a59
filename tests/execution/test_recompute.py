"""An accuracy on record is the one that the run's weights give."""

from __future__ import annotations

import json

import pytest
from scripted import finishes, play, reseal
from tiny import experiment

import normbench
from normbench.data import Dataset
from normbench.execution import recompute
from normbench.execution.recompute import sample_told
from normbench.store import ExperimentStore


@pytest.fixture(scope="module")
def store(tmp_path_factory, digits: Dataset) -> ExperimentStore:
    root = tmp_path_factory.mktemp("trained")
    normbench.train(experiment("norms=[none, batch]", "seeds=2"), results=root, jobs=1)
    return ExperimentStore(root, "tiny")


def test_what_the_weights_give_is_what_is_on_record(store, digits):
    found = list(recompute.recompute(store, digits, store.folders(), most=2))
    assert [one.folder[:-9] for one in found] == ["batch-s0", "none-s0"]
    assert [one.again for one in found] == [one.stored for one in found]
    ((level, text, _),) = sample_told(store)
    assert level == "ok"
    assert text == "the test accuracies of 2 runs, computed again, are those on record"


def test_another_number_under_a_valid_seal_is_found(store, digits):
    folder = store.path / store.folders()[0]
    path = folder / "metrics.jsonl"
    before = {name: (folder / name).read_bytes() for name in ("metrics.jsonl", "DONE")}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[-1]["test_accuracy"] = 0.999
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    reseal(folder)
    try:
        (level, text, remedy), *_ = sample_told(store)
        assert level == "problem"
        assert "not the 0.9990 on record" in text
        assert "train it again" in remedy
    finally:
        for name, content in before.items():
            (folder / name).write_bytes(content)


def test_without_weights_or_data_it_says_so_or_nothing(tmp_path, digits, monkeypatch, store):
    play(
        tmp_path,
        experiment("norms=[none]", "seeds=1"),
        digits,
        lambda _: finishes({0: 0.1, 12: 0.5}),
    )
    ((level, text, _),) = sample_told(ExperimentStore(tmp_path, "tiny"))  # b"weights" are none
    assert (level, text[:36]) == ("note", "no accuracy could be computed again:")
    monkeypatch.setattr(recompute, "at_hand", lambda *_, **__: None)
    ((level, text, _),) = sample_told(store)
    assert (level, text) == ("note", "no accuracy was computed again: digits is not at hand")
