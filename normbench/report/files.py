"""Writes reports: one page, or a picture a chart."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from normbench.charts.base import CHARTS, story
from normbench.charts.marks import dressed
from normbench.comparison import Comparison
from normbench.report.page import render
from normbench.store.files import reported, to_json, write_atomically

PIXELS_PER_POINT = 2.0


def write_page(comparisons: Sequence[Comparison], results: Path, out: Path | None) -> Path:
    """The page of one experiment, or of several side by side. Raises StoreError, ConfigError."""
    if out is None and len(comparisons) == 1:
        out = comparisons[0].results.path / "report.html"
    elif out is None:
        # File systems take 255 bytes.
        out = results / f"{'-'.join(['report', *(c.name for c in comparisons)])[:200]}.html"
    text = render(comparisons)
    _make(out.parent)
    write_atomically(out, text)
    return out


def write_pictures(
    comparison: Comparison, form: Literal["png", "svg"], out: Path | None
) -> list[Path]:
    """Each chart that has something to draw, as <experiment>-<chart>.<form>. Raises StoreError."""
    import vl_convert

    folder = out or comparison.results.path / "charts"
    _make(folder)
    files = []
    for name in story():
        drawn = CHARTS[name].draw(comparison.frames)
        if drawn is None:
            continue
        spec = to_json(dressed(drawn, comparison.frames.norms).to_dict())
        path = folder / f"{comparison.name}-{name}.{form}"
        if form == "png":
            write_atomically(path, vl_convert.vegalite_to_png(spec, scale=PIXELS_PER_POINT))
        else:
            write_atomically(path, vl_convert.vegalite_to_svg(spec))
        files.append(path)
    return files


def _make(folder: Path) -> None:
    with reported(folder, "write to"):
        folder.mkdir(parents=True, exist_ok=True)
