"""What was trained before: its tables, its charts, and reports of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from normbench.comparison import Comparison
from normbench.store import ExperimentStore, read_results

RESULTS = Path("results")


def compare(name: str, *, results: str | Path = RESULTS) -> Comparison:
    """The tables of an experiment that was trained before. Raises StoreError."""
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


def report(
    names: str | Sequence[str],
    *,
    results: str | Path = RESULTS,
    form: Literal["html", "png", "svg"] = "html",
    out: str | Path | None = None,
) -> list[Path]:
    """Write experiments as one page, or their charts as pictures, and return the paths.

    out: the page's file or the pictures' folder; by default report.html and charts/ in the
    experiment's own folder, for several experiments report-<names>.html in ``results``. Raises
    StoreError for an experiment that cannot be read or has no finished run, and, once everything
    is written, when the norms were not compared on equal terms; ConfigError for several that
    cannot be compared.
    """
    from normbench.report.files import write_page, write_pictures

    names = [names] if isinstance(names, str) else list(dict.fromkeys(names))
    comparisons = [load(name, results=results) for name in names]
    place = Path(out) if out is not None else None
    if form == "html":
        files = [write_page(comparisons, Path(results), place)]
    else:
        files = [path for c in comparisons for path in write_pictures(c, form, place)]
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

    found = read_results(Path(results), name, probes=False)
    return exporters.export(found, to, Path(out) if out is not None else None)
