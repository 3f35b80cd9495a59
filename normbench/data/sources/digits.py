"""scikit-learn's embedded digits."""

from __future__ import annotations

import gzip
import importlib.util
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from normbench.data.catalog import DATASETS, RawDataset, Report, Shape, Source
from normbench.data.splits import split
from normbench.seeding import stream

TEST_IMAGES = 360


@DATASETS.register("digits")
class Digits(Source):
    """1,797 handwritten digits of 8x8 pixels, embedded in scikit-learn: works offline.

    The test part of Alpaydin & Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI
    Machine Learning Repository, doi:10.24432/C50P49. Pixel counts 0..16 are scaled to 0..255. The
    source has no test set of its own: 360 images are cut off by one fixed stratified draw.
    """

    embedded: ClassVar[bool] = True
    native_shape: ClassVar[Shape] = (8, 8, 1)

    def files(self, root: Path) -> list[Path]:
        return []

    def read(self, root: Path, report: Report) -> RawDataset:
        table = _table()
        counts = table[:, :64].reshape(-1, 8, 8, 1)  # 0..16
        images = ((counts * 255 + 8) // 16).astype(np.uint8)
        labels = table[:, 64]
        train, test = split(labels, TEST_IMAGES, stream(0, "digits", "test"))
        classes = tuple(str(digit) for digit in range(10))
        return RawDataset(images[train], labels[train], images[test], labels[test], classes)


def _table() -> npt.NDArray[np.int64]:
    """[1797, 65]: the 64 pixels of an image and its digit.

    Read from the file that scikit-learn carries, since importing scikit-learn takes longer than
    training on it; where that file is not, scikit-learn is asked.
    """
    spec = importlib.util.find_spec("sklearn")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder, "datasets", "data", "digits.csv.gz")
        if path.is_file():
            with gzip.open(path, "rt", encoding="ascii") as lines:
                return np.loadtxt(lines, delimiter=",", dtype=np.int64)
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return np.column_stack([bunch.data, bunch.target]).astype(np.int64)
