"""A small valid config, as a text and as a tree."""

from typing import Any

import pytest

TEXT = """\
name: trial
model: {kind: mlp, depth: 4, width: 32}
norms: [none, batch, {kind: group, groups: 4}]
optimizer: {lr: 0.1}
training: {steps: 50}
target: {val_accuracy: 0.9}
seeds: 3
"""


@pytest.fixture
def text() -> str:
    return TEXT


@pytest.fixture
def tree() -> dict[str, Any]:
    return {
        "name": "trial",
        "model": {"kind": "mlp", "depth": 4, "width": 32},
        "norms": ["none", "batch", {"kind": "group", "groups": 4}],
        "optimizer": {"lr": 0.1},
        "training": {"steps": 50},
        "target": {"val_accuracy": 0.9},
        "seeds": 3,
    }
