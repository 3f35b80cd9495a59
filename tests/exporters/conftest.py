"""Experiments to export."""

from __future__ import annotations

from pathlib import Path

import pytest
from everything import CURVE, OVERRIDES, script
from scripted import finishes, play
from tiny import experiment

from normbench.store import Results, read_results


@pytest.fixture
def root(tmp_path, digits) -> Path:
    """The results folder of the mixed experiment."""
    results = tmp_path / "results"
    play(results, experiment(*OVERRIDES), digits, script)
    return results


@pytest.fixture
def mixed(root) -> Results:
    return read_results(root, "tiny", probes=False)


@pytest.fixture
def empty(tmp_path, digits) -> Results:
    """An experiment that was planned and never began."""
    play(tmp_path / "none", experiment(), digits, lambda _: None)
    return read_results(tmp_path / "none", "tiny", probes=False)


@pytest.fixture
def tuned(tmp_path, digits) -> Results:
    """A grid of 0.05 and 0.1, on a seed of its own; 0.1 is what the config says."""
    wanted = experiment("tune={optimizer.lr: [0.05, 0.1], seeds: 3}", "seeds=1", "norms=[batch]")
    play(tmp_path / "tuned", wanted, digits, lambda _: finishes(CURVE))
    return read_results(tmp_path / "tuned", "tiny", probes=False)
