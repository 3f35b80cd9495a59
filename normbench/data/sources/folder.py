"""A folder of images, one subfolder a class."""

from __future__ import annotations

import os
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from normbench.data.arrays import joined
from normbench.data.catalog import DATASETS, RawDataset, Report, Shape, Source
from normbench.errors import DataError

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
_VALIDATION = ("val", "valid", "validation")  # what people call the folder
_CHUNK = 256  # images a task of the thread pool
_LISTED = 5  # unreadable images named in the error

Labelled = list[tuple[Path, str]]  # image, name of its class


@DATASETS.register("folder")
@dataclass(frozen=True)
class Folder(Source):
    """Your own images, one subfolder a class, in train/, val/ and test/ or all in one place.

    Any of png, jpg, bmp, webp, tif, gif (its first frame). Classes are numbered in the order of
    their names. val/, where it is, validates in place of a cut from the training images. Where
    there is no test/ beside val/, or <class>/* alone, a fifth of the training images is the test:
    stratified, and drawn once from a fixed stream.
    """

    path: Annotated[
        str,
        Field(
            min_length=1,
            examples=["path/to/images"],
            description="train/<class>/*, test/<class>/*, perhaps val/<class>/*; or <class>/*",
        ),
    ]
    image_size: Annotated[
        int, Field(ge=8, le=512, description="side in pixels after a square crop")
    ] = 32
    channels: Annotated[Literal[1, 3], Field(description="3 colour, 1 grey")] = 3

    own: ClassVar[bool] = True
    _HINT: ClassVar[str] = "expected train/<class>/* and test/<class>/*, or <class>/*"

    @property
    def side(self) -> int:
        """Of an image in pixels: ``resize``, where it is given, is ``image_size``."""
        return self.resize or self.image_size

    def shape(self) -> Shape:
        return self.side, self.side, self.channels

    def root(self, data_root: Path) -> Path:
        return Path(self.path).expanduser().absolute()

    def files(self, root: Path) -> list[Path]:
        return [path for part in self._parts(root) if part for path, _ in part]

    def read(self, root: Path, report: Report) -> RawDataset:
        parts = self._parts(root)
        names = sorted({name for _, name in parts[0]})
        numbers = {name: number for number, name in enumerate(names)}
        images = self._decode([path for part in parts for path, _ in part or ()], report)
        labels = np.array([numbers[name] for part in parts for _, name in part or ()], np.int64)
        ends = np.cumsum([len(part or ()) for part in parts])[:-1]
        pairs = list(zip(np.split(images, ends), np.split(labels, ends), strict=True))
        train, validation, test = (
            pair if part is not None else None for pair, part in zip(pairs, parts, strict=True)
        )
        if parts[1] is not None and test is None:
            report.note(f"{root} has no test/: a fifth of train/ is kept for the test")
        assert train is not None
        try:
            return joined(train, validation, test, names, "folder")
        except DataError as error:
            raise DataError(f"{root}: {error}") from None

    def altered(self) -> str:
        from PIL import Image

        first = self.files(self.root(Path()))[0]
        with Image.open(first) as opened:
            width, height, mode = *opened.size, opened.mode
        grey = mode in ("1", "L", "LA") or mode.startswith("I")
        if (height, width, 1 if grey else 3) == self.shape():
            return ""
        return (
            f"the images are made {_size(self.side, self.side, self.channels == 1)}, and "
            f"{first.name} is {_size(height, width, grey)}: data.image_size and data.channels say"
        )

    @classmethod
    def recognizes(cls, path: str, base: Path) -> bool:
        whole = base / Path(path).expanduser()
        told = {"dataset_dict.json", "dataset_info.json", "state.json"}  # of a saved dataset
        if whole.is_dir():
            return not any((whole / name).exists() for name in told)
        return "/" in path and not whole.suffix and not whole.exists()

    def _parts(self, root: Path) -> tuple[Labelled, Labelled | None, Labelled | None]:
        """(train, validation, test), the latter two None where the folder has none of its own."""
        if not root.is_dir():
            word = "is not a folder" if root.exists() else "does not exist"
            raise DataError(f"{root} {word}; {self._HINT}")
        if not _subfolders(root / "train"):
            return self._labelled(root), None, None
        parts = {"train": self._labelled(root / "train")}
        given = [name for name in _VALIDATION if _subfolders(root / name)]
        if len(given) > 1:
            raise DataError(f"{root} has {' and '.join(f'{n}/' for n in given)}; one can validate")
        if not given and not (root / "test").is_dir():
            raise DataError(f"{root} has train/ but no test/; {self._HINT}")
        for name in [*given, *(["test"] if (root / "test").is_dir() else [])]:
            parts[name] = self._labelled(root / name)
            odd = sorted({n for _, n in parts["train"]} ^ {n for _, n in parts[name]})
            if odd:
                told = ", ".join(odd)
                raise DataError(f"{root}: classes in only one of train/ and {name}/: {told}")
        return parts["train"], parts[given[0]] if given else None, parts.get("test")

    def _labelled(self, folder: Path) -> Labelled:
        classes = _subfolders(folder)
        labelled = [(path, name) for name in classes for path in _images(folder / name)]
        per_class = Counter(name for _, name in labelled)
        if not labelled:
            raise DataError(f"{folder} holds no images in class folders; {self._HINT}")
        if empty := [name for name in classes if not per_class[name]]:
            raise DataError(f"{folder}: no images of the classes {', '.join(empty)}")
        if len(classes) == 1:
            raise DataError(f"{folder} has a single class, {classes[0]!r}; two are the least")
        return labelled

    def _decode(self, paths: list[Path], report: Report) -> npt.NDArray[np.uint8]:
        """The images as [N, image_size, image_size, channels]. Pillow decodes without the GIL."""
        from PIL import Image

        side = self.side
        images = np.empty((len(paths), side, side, self.channels), dtype=np.uint8)
        faults: list[str] = []

        def decode(start: int) -> int:
            for index, path in enumerate(paths[start : start + _CHUNK], start):
                try:
                    images[index] = read_image(path, side, self.channels)
                except Exception as error:  # Pillow's decoders raise many kinds
                    faults.append(f"    {path}: {error}")
            return min(start + _CHUNK, len(paths))

        with ThreadPoolExecutor(os.cpu_count()) as pool, warnings.catch_warnings():
            # Of an image of so many pixels that it may be an attack: refused, with the others.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            for done in pool.map(decode, range(0, len(paths), _CHUNK)):
                report.progress(done, len(paths), "decoding images")
        if faults:
            more = len(faults) - _LISTED
            listed = sorted(faults)[:_LISTED] + ([f"    and {more} more"] if more > 0 else [])
            raise DataError(
                f"{len(faults)} of {len(paths)} images cannot be read; repair or remove them:\n"
                + "\n".join(listed)
            )
        return images


def _size(height: int, width: int, grey: bool) -> str:
    return f"{height}x{width} {'grey' if grey else 'colour'}"


def read_image(path: Path, side: int, channels: int) -> npt.NDArray[np.uint8]:
    """An image as [side, side, channels]: upright, centre-cropped to a square, resized."""
    from PIL import Image, ImageOps

    mode = "RGB" if channels == 3 else "L"
    with Image.open(path) as opened:
        opened.draft(mode, (side, side))  # lets JPEG decode a large photograph at a fraction
        image = ImageOps.exif_transpose(opened)
        if image.mode.startswith("I;16"):
            image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
        elif image.mode in ("I", "F"):
            raise ValueError("32 bits a pixel; 8 or 16 are supported")
        image = image.convert(mode)
        if image.size != (side, side):
            image = ImageOps.fit(image, (side, side), Image.Resampling.BICUBIC)
        return np.asarray(image).reshape(side, side, channels)


def _subfolders(folder: Path) -> list[str]:
    return sorted(
        entry.name for entry in _entries(folder) if entry.is_dir() and entry.name[0] != "."
    )


def _images(folder: Path) -> list[Path]:
    names = (entry.name for entry in _entries(folder))
    return [
        folder / name
        for name in sorted(names)
        if os.path.splitext(name)[1].lower() in EXTENSIONS and name[0] != "."
    ]


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except (FileNotFoundError, NotADirectoryError):
        return []
