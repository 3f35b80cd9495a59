"""Where results are, and which experiment a text on the command line means."""

from __future__ import annotations

import os
from pathlib import Path

from normbench.constants import RESULTS
from normbench.errors import StoreError
from normbench.store.experiment import PLAN, ExperimentStore, absolute, experiments, one_of


def results_folder(given: str | Path) -> Path:
    """The folder that is meant: ``given``, or the nearest one of its name further up.

    Only the folder that is taken unless another is named is looked for upward, and only where
    there is none here; what is found further up holds an experiment.
    """
    asked = Path(given)
    if asked != RESULTS or asked.exists():
        return asked
    for folder in Path.cwd().parents:
        results = folder / RESULTS
        if results.is_dir() and any(results.glob(f"*/{PLAN}")):
            return Path(os.path.relpath(results))
    return asked


def locate(results: str | Path, text: str) -> ExperimentStore:
    """The experiment that ``text`` means: its name below ``results``, or its folder.

    results: is looked for as ``results_folder`` does. There may be no such experiment; reading the
    store says so, with the place that was searched.
    """
    folder = results_folder(results)
    named = ExperimentStore(folder, text)
    if not text or (named.is_named() and ExperimentStore.is_at(named.path)):
        return named
    # Links are not followed: what is deleted or written is where the text says.
    path = Path(os.path.normpath(Path(text).expanduser()))
    if len(path.parts) < 2 or path.name == "..":  # "." has no name of its own
        path = Path(os.path.abspath(path))
    if ExperimentStore.is_at(path) or len(Path(text).parts) > 1:
        return ExperimentStore(path.parent, path.name)
    return named


def latest(results: str | Path) -> ExperimentStore | None:
    """The experiment that was last trained; None where there is none. Raises StoreError."""
    folder = results_folder(results)
    stores = [ExperimentStore(folder, name) for name in experiments(folder)]
    return max(stores, key=lambda store: store.changed(), default=None)


def find_run(results: Path, text: str) -> tuple[ExperimentStore, str]:
    """The run meant by a path, ``EXPERIMENT/RUN``, or the run's name or its beginning alone.

    Raises StoreError when there is none, or more than one.
    """
    folder = Path(text)
    if (folder / "manifest.json").is_file():
        folder = folder.resolve()
        return ExperimentStore(folder.parents[1], folder.parent.name), folder.name
    name, slash, run = text.rstrip("/").rpartition("/")
    if slash:
        store = locate(results, name)
        return store, store.find(run)
    results = results_folder(results)
    names = experiments(results)
    stores = {known: ExperimentStore(results, known) for known in names}
    runs = {f"{known}/{run}": run for known in names for run in stores[known].folders()}
    if text in names and text not in runs.values():
        raise StoreError(
            f"{text!r} is an experiment; name one of its runs, such as {text}/RUN\n"
            f"    `normbench list runs {text}` lists them, `normbench compare {text}` compares them"
        )
    name, _, run = one_of(text, runs, absolute(results)).partition("/")
    return stores[name], run
