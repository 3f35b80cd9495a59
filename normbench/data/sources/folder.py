"""A folder of images, one subfolder a class."""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from normbench.data.catalog import DATASETS, RawDataset, Report, Source
from normbench.data.splits import split
from normbench.errors import ConfigError, DataError, Problem
from normbench.seeding import stream

EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"})
TEST_SHARE = 0.2
_CHUNK = 256  # images a task of the thread pool
_LISTED = 5  # unreadable images named in the error

Labelled = list[tuple[Path, str]]  # image, name of its class


@DATASETS.register("folder")
@dataclass(frozen=True)
class Folder(Source):
    """Your own images: train/<class>/* and test/<class>/*, or <class>/* with a fixed 20 % test cut.

    path: the folder; image_size: the side in pixels after a centred square crop; channels: 3 or 1.
    Any of png, jpg, bmp, webp, tif, gif (its first frame). Classes are numbered in the order of
    their names. The test cut is stratified and drawn once from a fixed stream.
    """

    path: str | os.PathLike[str]
    image_size: int = 32
    channels: int = 3

    _HINT: ClassVar[str] = "expected train/<class>/* and test/<class>/*, or <class>/*"

    def __post_init__(self) -> None:
        problems = []
        if not isinstance(self.path, (str, os.PathLike)) or not str(self.path):
            problems.append(Problem("data.path", "must be the name of a folder"))
        if type(self.image_size) is not int or self.image_size < 1:
            problems.append(Problem("data.image_size", "must be a whole number of pixels, from 1"))
        if type(self.channels) is not int or self.channels not in (1, 3):
            problems.append(Problem("data.channels", "must be 3 (colour) or 1 (grey)"))
        if problems:
            raise ConfigError(problems)

    def root(self, data_root: Path) -> Path:
        return Path(self.path).expanduser().absolute()

    def files(self, root: Path) -> list[Path]:
        return [path for part in self._parts(root) for path, _ in part]

    def read(self, root: Path, report: Report) -> RawDataset:
        parts = self._parts(root)
        names = sorted({name for _, name in parts[0]})
        numbers = {name: number for number, name in enumerate(names)}
        images = self._decode([path for part in parts for path, _ in part], report)
        labels = np.array([numbers[name] for part in parts for _, name in part], dtype=np.int64)
        if len(parts) == 2:
            train, test = np.split(np.arange(len(labels)), [len(parts[0])])
        else:
            try:
                cut = max(round(TEST_SHARE * len(labels)), len(names))
                train, test = split(labels, cut, stream(0, "folder", "test"))
            except ValueError as error:
                raise DataError(f"{root}: too few images for a test cut ({error})") from None
        return RawDataset(images[train], labels[train], images[test], labels[test], tuple(names))

    def _parts(self, root: Path) -> list[Labelled]:
        """[train, test], or [all] where the folder has no train/ of class folders."""
        if not root.is_dir():
            word = "is not a folder" if root.exists() else "does not exist"
            raise DataError(f"{root} {word}; {self._HINT}")
        if not _subfolders(root / "train"):
            return [self._labelled(root)]
        if not (root / "test").is_dir():
            raise DataError(f"{root} has train/ but no test/; {self._HINT}")
        train, test = self._labelled(root / "train"), self._labelled(root / "test")
        odd = sorted({name for _, name in train} ^ {name for _, name in test})
        if odd:
            raise DataError(f"{root}: classes in only one of train/ and test/: {', '.join(odd)}")
        return [train, test]

    def _labelled(self, folder: Path) -> Labelled:
        classes = _subfolders(folder)
        found = [(path, name) for name in classes for path in _images(folder / name)]
        per_class = Counter(name for _, name in found)
        if not found:
            raise DataError(f"{folder} holds no images in class folders; {self._HINT}")
        if empty := [name for name in classes if not per_class[name]]:
            raise DataError(f"{folder}: no images of the classes {', '.join(empty)}")
        if len(classes) == 1:
            raise DataError(f"{folder} has a single class, {classes[0]!r}; two are the least")
        return found

    def _decode(self, paths: list[Path], report: Report) -> npt.NDArray[np.uint8]:
        """The images as [N, image_size, image_size, channels]. Pillow decodes without the GIL."""
        side = self.image_size
        images = np.empty((len(paths), side, side, self.channels), dtype=np.uint8)
        faults: list[str] = []

        def decode(start: int) -> int:
            for index, path in enumerate(paths[start : start + _CHUNK], start):
                try:
                    images[index] = read_image(path, side, self.channels)
                except Exception as error:  # Pillow's decoders raise many kinds
                    faults.append(f"    {path}: {error}")
            return min(start + _CHUNK, len(paths))

        with ThreadPoolExecutor(os.cpu_count()) as pool:
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
