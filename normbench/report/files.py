"""Writes reports: one page, or a picture a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from normbench.charts.base import CHARTS, chart_order
from normbench.charts.marks import png, with_theme
from normbench.plain import shown_within
from normbench.report.page import render
from normbench.results.experiment import ExperimentResult
from normbench.store.files import reported, to_json, write_atomically


def write(
    comparisons: Sequence[ExperimentResult],
    form: Literal["html", "png", "svg"],
    results: Path,
    out: Path | None,
    data_dir: Path | None = None,
) -> list[Path]:
    """The report in the form asked for. results: the folder for a page of several experiments.

    data_dir: where the images of a page are looked for, if its config asks for some.
    Raises StoreError, ConfigError.
    """
    if form == "html":
        return [write_page(comparisons, results, out, data_dir)]
    return [path for c in comparisons for path in write_pictures(c, form, out)]


def write_page(
    comparisons: Sequence[ExperimentResult],
    results: Path,
    out: Path | None,
    data_dir: Path | None = None,
) -> Path:
    """The page of one experiment, or of several side by side. Raises StoreError, ConfigError.

    out: its file, or a folder that is there.
    """
    if len(comparisons) == 1:
        folder, name = comparisons[0].results.path, "report.html"
    else:
        # File systems take 255 bytes.
        joined = "-".join(["report", *(c.name for c in comparisons)])[:200]
        folder, name = results, f"{joined}.html"
    path = folder / name
    if out is not None:
        path = out / name if out.is_dir() else out
    text = render(comparisons, data_dir)
    option = _option(out)
    _make(path.parent, option)
    write_atomically(path, text, option)
    return path


def write_pictures(
    comparison: ExperimentResult, form: Literal["png", "svg"], out: Path | None
) -> list[Path]:
    """Each chart that has something to draw, as <experiment>-<chart>.<form>. Raises StoreError."""
    folder = comparison.results.path / "charts" if out is None else out
    option = _option(out)
    _make(folder, option)
    files = []
    for name in chart_order():
        drawn = CHARTS[name].draw(comparison.chart_data)
        if drawn is None:
            continue
        title = f"{CHARTS[name].title}: {comparison.name}"
        spec = shown_within(with_theme(drawn, comparison.chart_data, title).to_dict())
        path = folder / f"{comparison.name}-{name}.{form}"
        if form == "png":
            write_atomically(path, png(spec), option)
        else:
            import vl_convert

            write_atomically(path, vl_convert.vegalite_to_svg(to_json(spec)), option)
        files.append(path)
    return files


def _option(out: Path | None) -> str:
    """The option that chooses another place."""
    return "--results" if out is None else "--out"


def _make(folder: Path, option: str) -> None:
    with reported(folder, "write to", option):
        folder.mkdir(parents=True, exist_ok=True)
