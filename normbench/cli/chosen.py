"""Which experiments a verb is about: those that are named, else the last one trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from normbench.store import ExperimentStore


def chosen(names: Sequence[str], results: Path) -> list[ExperimentStore]:
    """The experiments of these names or folders; without any the latest, which is told on stderr.

    Raises StoreError where none is named and there is none.
    """
    from normbench.errors import StoreError
    from normbench.store import latest, locate, results_folder
    from normbench.store.experiment import NO_EXPERIMENT, absolute, experiments

    if names:
        stores = [locate(results, name) for name in names]
        return list({store.path.resolve(): store for store in stores}.values())  # each once
    store = latest(results)
    if store is None:
        folder = absolute(results_folder(results))
        raise StoreError(f"no experiment in {folder}\n    {NO_EXPERIMENT}")
    count = len(experiments(store.results))
    which = "the only experiment" if count == 1 else f"the latest of {count} experiments"
    typer.echo(f"{store.name}: {which} in {absolute(store.results)}", err=True)
    return [store]
