"""Reading what was trained before: its tables, its charts, reports and exports of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from normbench.conventions import RESULTS
from normbench.store import ExperimentStore

if TYPE_CHECKING:
    from normbench.comparison import Comparison


def compare(name: str, *, results: str | Path = RESULTS) -> Comparison:
    """The tables of an experiment that was trained before. Raises StoreError."""
    from normbench.comparison import Comparison
    from normbench.store import read_results

    return Comparison(read_results(Path(results), name))


def load(experiment: str | Path, *, results: str | Path | None = None) -> Comparison:
    """The tables and charts of an experiment on disk that has at least one finished run.

    experiment: its folder, such as results/digits, or, below ``results`` (the folder results
    unless given), its name. Raises StoreError.
    """
    path = Path(experiment)
    if results is not None or (len(path.parts) == 1 and not ExperimentStore.is_at(path)):
        place, name = Path(results or RESULTS), str(experiment)
    else:
        path = path.resolve()
        place, name = path.parent, path.name
    found = compare(name, results=place)
    found.require_outcomes()
    return found


def load_each(names: Sequence[str], results: str | Path) -> list[Comparison]:
    """Several experiments of one results folder, each once. Raises as ``load`` does."""
    once = dict.fromkeys(name.rstrip("/") for name in names)
    return [load(name, results=results) for name in once]


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
    files = write(comparisons, form, Path(results), place)
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

    found = read_results(Path(results), name, probes=False)
    return exporters.export(found, to, Path(out) if out is not None else None)
