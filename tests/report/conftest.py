"""Experiments of every sort, and their pages: made once, read by all tests of the page."""

from __future__ import annotations

from pathlib import Path

import pytest
from reported import SWEEP, TUNED, hostile, put

from normbench.data import Dataset
from normbench.report.page import render
from normbench.results.experiment import ExperimentResult


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, digits: Dataset) -> dict[str, ExperimentResult]:
    """A plain experiment, a sweep and a tuning, by name."""
    results: Path = tmp_path_factory.mktemp("results")
    found = [put(results, digits), put(results, digits, *SWEEP), put(results, digits, *TUNED)]
    return {comparison.name: comparison for comparison in found}


@pytest.fixture(scope="session")
def pages(made: dict[str, ExperimentResult]) -> dict[str, str]:
    """The page of each, of two side by side, and of one whose names hold markup."""
    singles = {name: render([comparison]) for name, comparison in made.items()}
    several = {"several": render([made["tiny"], made["swept"]])}
    return singles | several | {"hostile": render([hostile(made["tiny"])])}
