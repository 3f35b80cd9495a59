"""Images and labels in one .npz file of NumPy's."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from normbench.data.arrays import Layout
from normbench.data.catalog import DATASETS, RawDataset, Report, Source
from normbench.data.named import from_names
from normbench.errors import DataError, suggest


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
        if not path.is_file():
            word = "is a folder, not an npz file" if path.is_dir() else "does not exist"
            near = [f.name for f in root.glob("*.npz")] if root.is_dir() else []
            hint = f"\n    {suggest(path.name, near)}" if near and not path.is_dir() else ""
            raise DataError(f"{path} {word}{hint}")
        return [path]

    def read(self, root: Path, report: Report) -> RawDataset:
        [path] = self.files(root)
        arrays = {}
        try:
            with np.load(path, allow_pickle=False) as file:
                if not isinstance(file, np.lib.npyio.NpzFile):
                    raise DataError(f"{path} is a single array; numpy.savez writes several")
                for number, key in enumerate(file.files):
                    report.progress(number, len(file.files), f"reading {key}")
                    arrays[key] = file[key]
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error, KeyError) as error:
            if not zipfile.is_zipfile(path):
                raise DataError(f"{path} is no npz file, or damaged") from None
            if "allow_pickle" in str(error):
                reason = "an array of Python objects in it, such as images of unequal size"
                raise DataError(f"{path}: {reason}; save plain numbers or names") from None
            raise DataError(f"{path} is damaged ({error})") from None
        return from_names(
            arrays, name="npz", origin=str(path), layout=self.layout, resize=self.resize
        )

    @classmethod
    def recognizes(cls, path: str, base: Path) -> bool:
        return path.lower().endswith(".npz")
