"""What a function of the user's returns."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from normbench.components import (
    NotLoaded,
    anchored,
    is_file_reference,
    is_reference,
    load,
    short,
    source_sha256,
    summary_of,
    their_frames,
)
from normbench.data.arrays import Layout, Part, assembled
from normbench.data.catalog import DATASETS, RawDataset, Report, Source
from normbench.data.named import from_names
from normbench.data.pictures import alike, array_of
from normbench.errors import DataError

_RETURNS = (
    "return (x_train, y_train), (x_train, y_train, x_test, y_test), a dictionary of these names, "
    "or one, two or three torch Datasets: train, test or train, validation, test"
)


@dataclass(frozen=True)
class Made(Source):
    """What a function returns: arrays, a dictionary of them, or torch Datasets.

    reference: where it is, ``file.py:name`` or ``package.module:name``.
    """

    reference: ClassVar[str]

    args: Annotated[dict[str, Any], Field(description="what the function is called with")] = field(
        default_factory=dict
    )
    layout: Annotated[
        Layout, Field(description="hwc or chw where the shape alone does not tell the channels")
    ] = "auto"
    sha256: Annotated[
        str | None,
        Field(description="of the file; filled in, and code that has changed since is refused"),
    ] = None

    own: ClassVar[bool] = True

    def files(self, root: Path) -> list[Path]:
        return []

    @property
    def pinned_down(self) -> bool:
        return self.sha256 is not None  # a module's hash is known once it is imported

    def unread(self, root: Path) -> str:
        return f"not read yet, since that runs {self.reference}"

    def stamps(self, root: Path, files: Sequence[Path]) -> list[tuple[str, int, int]]:
        """The content of the file, not its time: the same code makes the same data."""
        digest = self.sha256 or source_sha256(self.reference) or load_or_tell(self.reference).sha256
        return [(str(digest), 0, 0)]

    def read(self, root: Path, report: Report) -> RawDataset:
        component = load_or_tell(self.reference)
        if self.sha256 is not None and component.sha256 != self.sha256:
            raise DataError(
                f"{self.reference} is not the code that this config was made with: its SHA-256 is "
                f"{str(component.sha256)[:16]}…, expected {self.sha256[:16]}…"
            )
        if not callable(component.target):
            kind = type(component.target).__name__
            raise DataError(f"{self.reference} is of type {kind}, not a function")
        try:
            with contextlib.redirect_stdout(sys.stderr):  # our stdout is for results
                made = component.target(**self.args)
                parts = self._parts(made, report)
        except DataError:
            raise
        except (Exception, SystemExit) as error:
            raise _raised(self.reference, error) from error
        if isinstance(parts, Mapping):
            return from_names(
                parts,
                name="function",
                origin=self.reference,
                layout=self.layout,
                resize=self.resize,
            )
        train, validation, test = parts
        return assembled(
            train,
            validation,
            test,
            name="function",
            origin=self.reference,
            classes=_classes_of(made),
            layout=self.layout,
            resize=self.resize,
        )

    def _parts(
        self, made: Any, report: Report
    ) -> Mapping[str, Any] | tuple[Part, Part | None, Part | None]:
        """Named arrays, or train, validation and test."""
        if isinstance(made, Mapping):
            return {str(key): _plain(value) for key, value in made.items()}
        if _is_dataset(made):
            return self._decoded(made, "the dataset", report), None, None
        if not isinstance(made, (tuple, list)):
            raise DataError(f"{self.reference} returned {type(made).__name__}; {_RETURNS}")
        if made and all(map(_is_dataset, made)) and len(made) <= 3:
            names = ["training", *["validation", "test"][3 - len(made) :]]
            parts = [
                self._decoded(dataset, f"the {name} dataset", report)
                for dataset, name in zip(made, names, strict=True)
            ]
            validation = parts[1] if len(parts) == 3 else None
            return parts[0], validation, parts[-1] if len(parts) > 1 else None
        if len(made) == 2 and all(isinstance(pair, tuple) and len(pair) == 2 for pair in made):
            made = [*made[0], *made[1]]  # as Keras returns them
        if len(made) not in (2, 4):
            raise DataError(f"{self.reference} returned {len(made)} values; {_RETURNS}")
        keys = ("x_train", "y_train", "x_test", "y_test")
        return {name: _plain(value) for name, value in zip(keys, made, strict=False)}

    def _decoded(self, dataset: Any, where: str, report: Report) -> Part:
        """Every example of a torch Dataset, once."""
        images, labels = [], []
        pictures = False
        count = len(dataset)
        for index in range(count):
            example = dataset[index]
            if not isinstance(example, (tuple, list)) or len(example) < 2:
                kind = type(example).__name__
                raise DataError(
                    f"{self.reference}: an example of {where} is {kind}, not (image, label)"
                )
            image, label = example[:2]
            if hasattr(image, "convert"):  # Pillow's
                pictures = True
                image = array_of(image, self.resize)
            else:
                image = _plain(image)
            images.append(image)
            labels.append(np.asarray(_plain(label)))
            if index % 256 == 0:
                report.progress(index, count, "decoding images")
        report.progress(count, count, "decoding images")
        return Part(
            alike(images) if pictures else images,
            np.stack(labels) if labels else [],
            (where, where),
            "hwc" if pictures else None,
        )


@DATASETS.register("function")
@dataclass(frozen=True)
class Function(Made):
    """Your own code: a function that returns arrays, a dictionary of them, or torch Datasets.

    It is called once, with ``args``; what it returns is decoded and cached until the file or the
    arguments change. What else it reads is not looked at: give it as an argument. Images and
    labels are as those of the dataset npz; an example of a torch Dataset is (image, label).
    """

    path: Annotated[
        str,
        Field(
            min_length=1,
            examples=["my_data.py:make"],
            description="file.py:name or package.module:name of the function; its code is run",
        ),
    ] = field(kw_only=True)

    @property
    def reference(self) -> str:  # type: ignore[override]
        return self.path

    def root(self, data_root: Path) -> Path:
        if not is_file_reference(self.path):
            return data_root
        return Path(anchored(self.path, Path.cwd()).rpartition(":")[0]).parent

    def files(self, root: Path) -> list[Path]:
        if not is_reference(self.path):
            raise DataError(f"{self.path!r} is no reference; write file.py:name or module:name")
        if not is_file_reference(self.path):
            return []
        path = root / Path(self.path.rpartition(":")[0]).name
        if not path.is_file():
            load_or_tell(f"{path}:{short(self.path)}")  # which says what is near
        return [path]

    @classmethod
    def recognizes(cls, path: str, base: Path) -> bool:
        return is_reference(path)

    @classmethod
    def anchored(cls, options: Mapping[str, Any], base: Path) -> dict[str, Any]:
        path = options.get("path")
        if not isinstance(path, str):
            return dict(options)
        return {**options, "path": anchored(path, base)}

    @classmethod
    def pinned(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """With the hash of the file, where it is there and no hash is given."""
        path = options.get("path")
        if options.get("sha256") is not None or not isinstance(path, str):
            return dict(options)
        try:
            return {**options, "sha256": source_sha256(path)}
        except NotLoaded:  # results may be read where their code is not
            return dict(options)

    @classmethod
    def identity(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        kept = super().identity(options)
        path = options["path"]
        return {**kept, "path": short(path) if is_file_reference(path) else path}


@DATASETS.adapter
def of_reference(target: Any, reference: str) -> type[Source]:
    """The source behind an entry point: itself a ``Source``, or a function as ``Function`` takes.

    Raises TypeError for what is neither.
    """
    if isinstance(target, type) and issubclass(target, Source):
        return target
    if not callable(target):
        raise TypeError(f"is {type(target).__name__}, no Source and no function that returns data")
    about = target.__doc__ or f"What {reference} returns."
    own = {"reference": reference, "__doc__": about, "__module__": target.__module__}
    return dataclass(frozen=True)(type("Installed", (_Installed,), own))


class _Installed(Made):
    """A function that an installed package offers by name."""

    @classmethod
    def pinned(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """With the hash of its file, where none is given."""
        if options.get("sha256") is not None:
            return dict(options)
        return {**options, "sha256": load(cls.reference).sha256}


def load_or_tell(reference: str) -> Any:
    """The component. Raises DataError, with the user's own frames where their code raised."""
    try:
        return load(reference)
    except NotLoaded as error:
        lines = [error.message]
        lines += [
            line if line.startswith(" ") else f"    {line}" for line in error.hint.splitlines()
        ]
        raise DataError("\n".join(lines)) from error


def _raised(reference: str, error: BaseException) -> DataError:
    frames = their_frames(error)
    return DataError(f"{reference} raises {summary_of(error)}" + (f"\n{frames}" if frames else ""))


def _is_dataset(value: Any) -> bool:
    """Whether examples can be asked for by number, as of a torch Dataset."""
    plain = isinstance(value, (str, bytes, Mapping, tuple, list, np.ndarray)) or _is_tensor(value)
    return not plain and hasattr(value, "__getitem__") and hasattr(value, "__len__")


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _plain(value: Any) -> Any:
    """A tensor as an array; a list of tensors as a list of arrays."""
    if _is_tensor(value):
        value = value.detach().cpu()
        return (value.float() if value.is_floating_point() else value).numpy()
    if isinstance(value, list) and any(map(_is_tensor, value)):
        return [_plain(item) for item in value]
    return value


def _classes_of(made: Any) -> list[str] | None:
    """The names that torchvision's datasets carry."""
    first = made[0] if isinstance(made, (tuple, list)) else made
    classes = getattr(first, "classes", None)
    return [str(name) for name in classes] if isinstance(classes, (list, tuple)) else None
