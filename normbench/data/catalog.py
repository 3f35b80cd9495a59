"""What a dataset source is, and the registry of them."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from normbench.errors import ConfigError, DataError, Problem, suggest
from normbench.registry import Registry, UnknownName

Progress = Callable[[int, "int | None", str], None]
"""``progress(done, total or None, label)``; bytes for a download, images for decoding."""

Note = Callable[[str], None]
"""Called with a sentence the user should see."""


def silent(*_: object) -> None:
    """The default listener."""


@dataclass(frozen=True)
class Report:
    """Where a source tells what it is doing."""

    progress: Progress = silent
    note: Note = silent


@dataclass(frozen=True, eq=False)
class RawDataset:
    """A dataset as it was published: uint8 images [N, H, W, C], int64 labels [N]."""

    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]


@dataclass(frozen=True)
class Source(ABC):
    """One dataset. The dataclass fields of a subclass are the options of its ``data:`` section."""

    embedded: ClassVar[bool] = False
    """True when the data comes with an installed package and needs no files."""

    def root(self, data_root: Path) -> Path:
        """The folder the files are under; the data root unless an option names another."""
        return data_root

    @abstractmethod
    def files(self, root: Path) -> list[Path]:
        """The files ``read`` needs, present or not. Cheap: it is asked on every run."""

    def fetch(self, root: Path, report: Report, *, offline: bool) -> None:
        """Bring the missing files to ``root``: unpack an archive that is there, or download it.

        Raises DataError or OSError with the reason.
        """
        raise DataError("this dataset cannot be downloaded")

    @abstractmethod
    def read(self, root: Path, report: Report) -> RawDataset:
        """Check the files and read them. Raises DataError naming file, fault and remedy."""


DATASETS: Registry[type[Source]] = Registry("dataset", "normbench.data.sources")


def make_source(name: str, options: Mapping[str, Any] | None = None) -> Source:
    """The source registered as ``name`` with its options. Raises ConfigError for either."""
    try:
        kind = DATASETS[name]
    except UnknownName as error:
        raise ConfigError([Problem("data.dataset", error.message, error.hint)]) from None
    options = dict(options or {})
    fields = {field.name: field for field in dataclasses.fields(kind)}
    problems = [
        Problem(f"data.{key}", f"dataset {name!r} has no such option", suggest(key, fields))
        for key in sorted(options.keys() - fields.keys())
    ]
    problems += [
        Problem(f"data.{key}", f"dataset {name!r} needs this option")
        for key, field in fields.items()
        if field.default is dataclasses.MISSING and key not in options
    ]
    if problems:
        raise ConfigError(problems)
    return kind(**options)
