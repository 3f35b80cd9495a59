"""Reading what was trained before: its tables, its charts, reports and exports of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from normbench.conventions import RESULTS
from normbench.store import locate, results_folder

if TYPE_CHECKING:
    from normbench.comparison import Comparison


def compare(name: str, *, results: str | Path = RESULTS) -> Comparison:
    """The tables of an experiment that was trained before. Raises StoreError.

    name: the experiment's, below ``results``, or its folder.
    """
    from normbench.comparison import Comparison
    from normbench.store import read_results

    store = locate(results, name)
    return Comparison(read_results(store.results, store.name))


def load(experiment: str | Path, *, results: str | Path | None = None) -> Comparison:
    """The tables and charts of an experiment on disk that has at least one finished run.

    experiment: its name below ``results`` (the folder results unless given, looked for upward), or
    its folder, such as results/digits. Raises StoreError.
    """
    found = compare(str(experiment), results=results if results is not None else RESULTS)
    found.require_outcomes()
    return found


def load_each(names: Sequence[str], results: str | Path) -> list[Comparison]:
    """Several experiments, each once. Raises as ``load`` does."""
    once = {store.path: store for store in (locate(results, name) for name in names)}
    return [load(store.name, results=store.results) for store in once.values()]


def report(
    names: str | Sequence[str],
    *,
    results: str | Path = RESULTS,
    form: Literal["html", "png", "svg"] = "html",
    out: str | Path | None = None,
) -> list[Path]:
    """Write experiments as one page, or their charts as pictures, and return the paths.

    out: the page's file or folder, or the pictures' folder; by default report.html and charts/ in
    the experiment's own folder, for several experiments report-<names>.html in ``results``. Raises
    StoreError for an experiment that cannot be read or has no finished run, and, once everything
    is written, when the norms were not compared on equal terms; ConfigError for several that
    cannot be compared.
    """
    from normbench.report.files import write

    comparisons = load_each([names] if isinstance(names, str) else names, results)
    place = Path(out) if out is not None else None
    files = write(comparisons, form, results_folder(results), place)
    for comparison in comparisons:
        comparison.require_fairness()
    return files


def export(
    name: str, to: str, *, out: str | Path | None = None, results: str | Path = RESULTS
) -> list[Path]:
    """Write a trained experiment for other tools; see ``normbench.exporters.export``.

    to: a name of ``normbench list exporters``. Raises ConfigError, StoreError.
    """
    from normbench import exporters
    from normbench.store import read_results

    store = locate(results, name)
    found = read_results(store.results, store.name, probes=False)
    return exporters.export(found, to, Path(out) if out is not None else None)
