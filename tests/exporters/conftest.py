"""Experiments to export."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from everything import CURVE, OVERRIDES, script
from scripted import finishes, play
from tiny import experiment

from normbench.store import Results, read_results


@pytest.fixture(scope="session")
def played(tmp_path_factory, digits) -> Path:
    """What ``root`` is a copy of."""
    results = tmp_path_factory.mktemp("mixed")
    play(results, experiment(*OVERRIDES), digits, script)
    return results


@pytest.fixture
def root(tmp_path, played) -> Path:
    """The results folder of the mixed experiment."""
    return Path(shutil.copytree(played, tmp_path / "results"))


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
