"""CIFAR-10 and CIFAR-100, from the published archives of pickled batches."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from normbench.data.catalog import DATASETS, RawDataset, Report, Shape, Source
from normbench.data.integrity import add_sums, mismatch, raise_faults, read_sums
from normbench.errors import DataError
from normbench.vision import torchvision

# What an array needs to be unpickled, under the module names of NumPy 1 and 2. _reconstruct is a
# private name, so it is asked of an array.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    """Admits plain containers, strings, numbers and NumPy arrays, and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"refused to load {module}.{name}") from None


def unpickle(content: bytes) -> Any:
    """Read a pickle of arrays, as Python 2 wrote them. Raises UnpicklingError for any other."""
    return _ArrayUnpickler(io.BytesIO(content), encoding="latin1").load()


class CifarSource(Source):
    """Pickled batches in torchvision's layout; each checked before it is unpickled."""

    native_shape: ClassVar[Shape] = (32, 32, 3)
    folder: ClassVar[str]
    published_as: ClassVar[str]  # the name of torchvision's class
    train_files: ClassVar[tuple[str, ...]]
    test_file: ClassVar[str]
    meta_file: ClassVar[str]
    label_key: ClassVar[str]
    class_names_key: ClassVar[str]

    def files(self, root: Path) -> list[Path]:
        names = (*self.train_files, self.test_file, self.meta_file)
        return [root / self.folder / name for name in names]

    def fetch(self, root: Path, report: Report, *, offline: bool) -> None:
        from normbench.data.download import obtain, unpack_tar

        published = self._published()
        archive = root / published.filename
        obtain(archive, [published.url], published.tgz_md5, report, offline=offline)
        sums = unpack_tar(archive, root / self.folder, [path.name for path in self.files(root)])
        add_sums(root / self.folder, sums)

    def _published(self) -> Any:
        return getattr(torchvision().datasets, self.published_as)

    def _published_md5(self) -> dict[str, str]:
        published = self._published()
        return {
            **dict(published.train_list),
            **dict(published.test_list),
            published.meta["filename"]: published.meta["md5"],
        }

    def read(self, root: Path, report: Report) -> RawDataset:
        content = self._verified(root)
        try:
            train_images, train_labels = self._batches(content, self.train_files)
            test_images, test_labels = self._batches(content, (self.test_file,))
            classes = tuple(unpickle(content[self.meta_file])[self.class_names_key])
        except (pickle.UnpicklingError, KeyError, ValueError, TypeError, EOFError) as error:
            raise DataError(f"{root / self.folder}: not the batches of CIFAR ({error})") from None
        return RawDataset(train_images, train_labels, test_images, test_labels, classes)

    def _verified(self, root: Path) -> dict[str, bytes]:
        """File name -> content of each file, once all of their checksums agree."""
        sums = read_sums(root / self.folder)
        paths = self.files(root)
        md5 = {} if all(path.name in sums for path in paths) else self._published_md5()
        contents = {path.name: path.read_bytes() for path in paths}
        faults = []
        for path in paths:
            content = contents[path.name]
            if path.name in sums:
                digest = hashlib.sha256(content).hexdigest()
                fault = mismatch("SHA-256", digest, sums[path.name])
            else:
                digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
                fault = mismatch("MD5", digest, md5[path.name])
            faults.append((path, fault))
        raise_faults(faults)
        return contents

    def _batches(
        self, content: dict[str, bytes], names: tuple[str, ...]
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        batches = [unpickle(content[name]) for name in names]
        planes = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
        labels = np.concatenate([batch[self.label_key] for batch in batches])
        images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1), dtype=np.uint8)  # NHWC
        return images, labels.astype(np.int64)


@DATASETS.register("cifar10", aliases=("cifar-10",))
class Cifar10(CifarSource):
    """CIFAR-10: 60,000 colour photographs of 32x32 pixels in 10 classes, 10,000 for the test.

    Krizhevsky 2009, "Learning multiple layers of features from tiny images", University of
    Toronto.
    """

    folder = "cifar-10-batches-py"
    published_as = "CIFAR10"
    train_files = tuple(f"data_batch_{number}" for number in range(1, 6))
    test_file = "test_batch"
    meta_file = "batches.meta"
    label_key = "labels"
    class_names_key = "label_names"


@DATASETS.register("cifar100", aliases=("cifar-100",))
class Cifar100(CifarSource):
    """CIFAR-100: 60,000 colour photographs of 32x32 pixels in 100 classes, 10,000 for the test.

    Krizhevsky 2009, "Learning multiple layers of features from tiny images", University of
    Toronto. The labels are the fine ones.
    """

    folder = "cifar-100-python"
    published_as = "CIFAR100"
    train_files = ("train",)
    test_file = "test"
    meta_file = "meta"
    label_key = "fine_labels"
    class_names_key = "fine_label_names"
