"""Images and labels in one .npz file of NumPy's."""

from __future__ import annotations

import math
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from normbench.data.arrays import Layout
from normbench.data.catalog import DATASETS, RawDataset, Report, Source
from normbench.data.named import check_names, from_names
from normbench.errors import DataError, suggest

_MAGIC = b"\x93NUMPY"
_MOST = 2**37  # bytes of one array, before anything is asked of the memory


@DATASETS.register("npz")
@dataclass(frozen=True)
class Npz(Source):
    """Your own arrays: x_train and y_train in an npz file, and perhaps x_test and y_test.

    Images are [N, H, W], [N, H, W, C] or [N, C, H, W]. Whole numbers of 0 to 255 are kept as bytes,
    all other numbers as float32 in their own unit; both are normalized per channel in training.
    Labels are whole numbers from 0, or names. x_val and y_val, where they are, validate in place of
    a cut from the training images; without x_test a fixed stratified fifth of them is the test.
    """

    path: Annotated[
        str,
        Field(
            min_length=1,
            examples=["mine.npz"],
            description="a file with x_train, y_train and what goes with them",
        ),
    ]
    layout: Annotated[
        Layout, Field(description="hwc or chw where the shape alone does not tell the channels")
    ] = "auto"

    own: ClassVar[bool] = True

    def root(self, data_root: Path) -> Path:
        return Path(self.path).expanduser().absolute().parent

    def files(self, root: Path) -> list[Path]:
        path = root / Path(self.path).name
        if path.is_file():
            return [path]
        if path.exists():
            word = "a folder" if path.is_dir() else "a pipe or a device"
            raise DataError(f"{path} is {word}, not an npz file")
        if path.is_symlink():
            raise DataError(f"{path} is a link that leads to no file")
        near = [f.name for f in root.glob("*.npz")] if root.is_dir() else []
        hint = f"\n    {suggest(path.name, near)}" if near else ""
        raise DataError(f"{path} does not exist{hint}")

    def read(self, root: Path, report: Report) -> RawDataset:
        [path] = self.files(root)
        try:
            arrays = _arrays(path, report)
        except DataError:
            raise
        except MemoryError:
            raise DataError(f"{path}: its arrays are too large for the memory there is") from None
        except Exception as error:  # a damaged file fails in any of the ways there are
            raise DataError(f"{path} is damaged ({error or type(error).__name__})") from None
        return from_names(
            arrays, name="npz", origin=str(path), layout=self.layout, resize=self.resize
        )

    @classmethod
    def recognizes(cls, path: str, base: Path) -> bool:
        return path.lower().endswith(".npz")


def _arrays(path: Path, report: Report) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the file, read only where all of their names are known."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as start:
            alone = start.read(len(_MAGIC)) == _MAGIC
        told = "is a single array; numpy.savez writes several"
        raise DataError(f"{path} {told if alone else 'is no npz file, or damaged'}")
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        check_names(members, str(path))
        for number, (key, info) in enumerate(members.items()):
            report.progress(number, len(members), f"reading {key}")
            with archive.open(info) as file:
                _check_header(file, info, f"{path}: {key}")
            with archive.open(info) as file:
                arrays[key] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def _check_header(file: IO[bytes], info: zipfile.ZipInfo, where: str) -> None:
    """Raise DataError for an array that no image is, or that is larger than what is in the file."""
    formats = np.lib.format
    version = formats.read_magic(file)
    read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
    shape, _, kind = read(file)
    if kind.hasobject:
        reason = "an array of Python objects, such as images of unequal size"
        raise DataError(f"{where} is {reason}; save plain numbers or names")
    size, there = math.prod(shape) * kind.itemsize, info.file_size - file.tell()
    if min(shape, default=0) < 0 or size > there:
        raise DataError(
            f"{where} is damaged: its header tells of more than the {there} bytes of it"
        )
    if size > _MOST:
        raise DataError(f"{where} has {size:,} bytes; the most is {_MOST:,}")
