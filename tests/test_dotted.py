"""Dotted keys and the trees they name parts of."""

from __future__ import annotations

from normbench.dotted import flatten_config

TREE = {"name": "x", "optimizer": {"lr": 0.1, "clip_norm": None, "more": {}}, "norms": [{"a": 1}]}


def test_a_tree_becomes_flat():
    assert flatten_config(TREE) == {
        "name": "x",
        "optimizer.lr": 0.1,
        "optimizer.clip_norm": None,
        "optimizer.more": {},
        "norms": [{"a": 1}],
    }
