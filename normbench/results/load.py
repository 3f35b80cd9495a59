"""Reading what was trained before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from normbench.constants import RESULTS
from normbench.store import locate

if TYPE_CHECKING:
    from normbench.results.experiment import ExperimentResult


def compare(name: str, *, results: str | Path = RESULTS) -> ExperimentResult:
    """The tables of an experiment that was trained before. Raises StoreError.

    name: the experiment's, below ``results``, or its folder.
    """
    from normbench.results.experiment import ExperimentResult
    from normbench.store import read_results

    store = locate(results, name)
    return ExperimentResult(read_results(store.results, store.name))


def load(experiment: str | Path, *, results: str | Path | None = None) -> ExperimentResult:
    """The tables and charts of an experiment on disk that has at least one finished run.

    experiment: its name below ``results`` (the folder results unless given, looked for upward), or
    its folder, such as results/digits. Raises StoreError.
    """
    result = compare(str(experiment), results=results if results is not None else RESULTS)
    result.require_outcomes()
    return result


def load_each(names: Sequence[str], results: str | Path) -> list[ExperimentResult]:
    """Several experiments, each once. Raises as ``load`` does."""
    once = {store.path: store for store in (locate(results, name) for name in names)}
    return [load(store.name, results=store.results) for store in once.values()]
