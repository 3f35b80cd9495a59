"""What a page is made of, as its template takes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from normbench.charts.palette import NormStyle


@dataclass(frozen=True)
class Link:
    """A name of the glossary and the id of its entry; None for a word that has none."""

    text: str
    anchor: str | None


@dataclass(frozen=True)
class Heading:
    """A column's heading; anchor: of its definition."""

    text: str
    anchor: str | None
    left: bool


@dataclass(frozen=True)
class Cell:
    """look: of the norm that the text names."""

    text: str
    look: NormStyle | None = None


@dataclass(frozen=True)
class Table:
    """A table as the template takes it."""

    caption: str
    headings: list[Heading]
    rows: list[list[Cell]]
    note: str
    defines: list[Link]
    bold: Sequence[int] = ()


@dataclass(frozen=True)
class Figure:
    """A chart as the template takes it.

    views: how it can be drawn, when in more than one way; scales: the axes that can be switched,
    and how they are.
    """

    id: str
    title: str
    about: str
    description: str
    views: list[str]
    scales: list[dict[str, str]]
    defines: list[Link]


@dataclass(frozen=True)
class Picture:
    """An image of the data. source: a PNG as a data URI; text: what stands below it."""

    source: str
    text: str


@dataclass(frozen=True)
class Grid:
    """Pictures of one norm."""

    norm: str
    look: NormStyle
    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Part:
    """One step of the story.

    verdict: its sentences; beside: charts that stand side by side where there is room; code: the
    config; grids: pictures; closed: folded away until it is opened.
    """

    id: str
    title: str
    items: Sequence[Table | Figure] = ()
    facts: list[tuple[Link, str]] = field(default_factory=list)
    verdict: Sequence[str] = ()
    caveats: Sequence[str] = ()
    notes: Sequence[str] = ()
    defines: Sequence[Link] = ()
    beside: Sequence[Figure] = ()
    grids: Sequence[Grid] = ()
    code: str = ""
    closed: bool = False
