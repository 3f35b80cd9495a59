"""Dotted keys and the trees they name parts of."""

from __future__ import annotations

from normbench.dotted import at, flat

TREE = {"name": "x", "optimizer": {"lr": 0.1, "clip_norm": None, "more": {}}, "norms": [{"a": 1}]}


def test_a_tree_becomes_flat():
    assert flat(TREE) == {
        "name": "x",
        "optimizer.lr": 0.1,
        "optimizer.clip_norm": None,
        "optimizer.more": {},
        "norms": [{"a": 1}],
    }


def test_every_part_is_found_at_its_key_and_nothing_elsewhere():
    for key, value in flat(TREE).items():
        assert at(TREE, key) == value
    assert at(TREE, "optimizer") is TREE["optimizer"]
    for key in ("absent", "absent.lr", "name.lr", "optimizer.lr.more", "norms.0"):
        assert at(TREE, key) is None
