"""What a dataset source is, and the registry of them."""

from __future__ import annotations

import dataclasses
import os
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

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


Shape = tuple[int, int, int]
"""(height, width, channels)."""

Images = npt.NDArray[np.uint8] | npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class RawDataset:
    """A dataset as it was published: images [N, H, W, C], int64 labels [N].

    The images are uint8, or float32 in whatever unit they came in; all parts of one kind.
    validation: the last so many training images are a validation part of the source's own; 0 where
    it has none.
    """

    train_images: Images
    train_labels: npt.NDArray[np.int64]
    test_images: Images
    test_labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    validation: int = 0

    def check(self, origin: Path) -> None:
        """Raise DataError, which names ``origin``, unless the parts fit each other."""
        for part, images, labels in (
            ("training", self.train_images, self.train_labels),
            ("test", self.test_images, self.test_labels),
        ):
            if len(images) != len(labels):
                raise DataError(f"{origin}: {len(images)} {part} images but {len(labels)} labels")
            if len(images) == 0 or images.size == 0:
                raise DataError(f"{origin}: no {part} images")
            if labels.min() < 0 or labels.max() >= len(self.classes):
                among = f"{len(self.classes)} classes"
                raise DataError(f"{origin}: a {part} label is not one of {among}")
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise DataError(f"{origin}: training and test images differ in shape")


@dataclass(frozen=True)
class Source(ABC):
    """One dataset. The dataclass fields of a subclass are the options of its ``data:`` section.

    An option is declared once: its type, its bounds and its description, as a ``pydantic.Field`` in
    an annotation.
    """

    embedded: ClassVar[bool] = False
    """True when the data comes with an installed package and needs no files."""

    own: ClassVar[bool] = False
    """True when the images are the user's, named by the option ``path``."""

    native_shape: ClassVar[Shape | None] = None
    """(height, width, channels) of the images as published; None where only the files can tell."""

    resize: Annotated[
        int | None,
        Field(
            ge=4,
            le=1024,
            description="side in pixels after a centred square crop; null: as the images are",
        ),
    ] = field(default=None, kw_only=True)

    def shape(self) -> Shape | None:
        """(height, width, channels) of the images as they are trained on, as far as known."""
        if self.native_shape is None or self.resize is None:
            return self.native_shape
        return self.resize, self.resize, self.native_shape[2]

    def root(self, data_root: Path) -> Path:
        """The folder the files are under; the data root unless an option names another."""
        return data_root

    @abstractmethod
    def files(self, root: Path) -> list[Path]:
        """The files ``read`` needs, present or not. Cheap: it is asked on every run."""

    @property
    def pinned_down(self) -> bool:
        """Whether the options alone tell if the source was read before."""
        return True

    def unread(self, root: Path) -> str:
        """Why reading the source needs more than looking at files of this machine; else empty."""
        here = self.embedded or all(path.is_file() for path in self.files(root))
        return "" if here else "not here yet"

    def stamps(self, root: Path, files: Sequence[Path]) -> list[tuple[str, int, int]]:
        """What tells that the files have changed: name below the root, bytes, time in ns."""
        prefix = len(str(root)) + 1
        stats = [(str(path)[prefix:], os.stat(path)) for path in files]
        return [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]

    def fetch(self, root: Path, report: Report, *, offline: bool) -> None:
        """Bring the missing files to ``root``: unpack an archive that is there, or download it.

        Raises DataError or OSError with the reason.
        """
        raise DataError("this dataset cannot be downloaded")

    @abstractmethod
    def read(self, root: Path, report: Report) -> RawDataset:
        """Check the files and read them. Raises DataError naming file, fault and remedy."""

    def altered(self) -> str:
        """How the images that are read differ from the files', in words; empty where they do not.

        Cheap: a look at one of them.
        """
        return ""

    @classmethod
    def recognizes(cls, path: str, base: Path) -> bool:
        """Whether ``path``, counted from ``base``, is for this source to read."""
        return False

    @classmethod
    def anchored(cls, options: Mapping[str, Any], base: Path) -> dict[str, Any]:
        """The same options, a relative path counted from ``base``."""
        path = options.get("path")
        if not cls.own or not isinstance(path, str) or not path:
            return dict(options)
        return {**options, "path": os.path.normpath(base / Path(path).expanduser())}

    @classmethod
    def pinned(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """The same options with what a run's identity needs to know of the source itself."""
        return dict(options)

    @classmethod
    def identity(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """What of the options determines a run's numbers.

        Not where the user's files lie: the fingerprint in the manifest tells what is in them. An
        option that asks for nothing is left out, so that a config from before it hashes as it did.
        """
        kept = {key: value for key, value in options.items() if (key, value) != ("resize", None)}
        return {**kept, "path": ""} if cls.own else kept


DATASETS: Registry[type[Source]] = Registry(
    "dataset", "normbench.data.sources", group="normbench.datasets"
)


def make_source(name: str, options: Mapping[str, Any] | None = None) -> Source:
    """The source registered as ``name`` with its options. Raises ConfigError for either."""
    try:
        kind = DATASETS[name]
    except UnknownName as error:
        raise ConfigError([Problem("data.dataset", error.message, error.hint)]) from None
    options = {
        key: os.fspath(value) if isinstance(value, os.PathLike) else value
        for key, value in (options or {}).items()
    }
    fields = {item.name: item for item in dataclasses.fields(kind)}
    problems = [
        Problem(f"data.{key}", f"dataset {name!r} has no such option", suggest(key, fields))
        for key in sorted(options.keys() - fields.keys())
    ]
    problems += [
        Problem(f"data.{key}", f"dataset {name!r} needs this option")
        for key, item in fields.items()
        if required(item) and key not in options
    ]
    for key in options.keys() & fields.keys():
        try:
            _adapter(kind, key).validate_python(options[key])
        except ValidationError as error:
            for line in error.errors(include_url=False):
                path = ".".join(["data", key, *map(str, line["loc"])])
                problems.append(Problem(path, f"{line['msg']}, got {options[key]!r}"))
    if problems:
        raise ConfigError(sorted(problems, key=lambda problem: problem.path))
    return kind(**options)


def required(option: dataclasses.Field[Any]) -> bool:
    """Whether a field of a dataclass of options has no default."""
    return option.default is dataclasses.MISSING and option.default_factory is dataclasses.MISSING


@cache
def _adapter(kind: type[Source], option: str) -> TypeAdapter[Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return TypeAdapter(hints[option], config=ConfigDict(strict=True))


def recognized(path: str, base: Path) -> str | None:
    """The name of the source that a path alone means; None where none takes it.

    base: the folder that a relative path counts from.
    """
    try:
        return next((name for name in DATASETS if DATASETS[name].recognizes(path, base)), None)
    except (OSError, ValueError):  # such as a name longer than any file's
        return None
