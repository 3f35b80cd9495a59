"""MNIST and the datasets published in its format: four idx files."""

from __future__ import annotations

import gzip
import hashlib
import zlib
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from normbench.data.catalog import DATASETS, RawDataset, Report, Shape, Source
from normbench.data.integrity import (
    SUMS,
    add_sums,
    file_digest,
    mismatch,
    raise_faults,
    read_sums,
)
from normbench.errors import DataError
from normbench.vision import torchvision

_DIMENSIONS = {  # file -> dimensions of its array: [N, H, W] and [N]
    "train-images-idx3-ubyte": 3,
    "train-labels-idx1-ubyte": 1,
    "t10k-images-idx3-ubyte": 3,
    "t10k-labels-idx1-ubyte": 1,
}

# torchvision names http mirrors for two of the datasets. The website endpoint of the Fashion-MNIST
# bucket speaks no TLS; the same bucket's REST endpoint does, and the authors' repository holds the
# same archives. KMNIST's host serves both.
_HTTPS = {
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/": (
        "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    "http://codh.rois.ac.jp/kmnist/dataset/kmnist/": (
        "https://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    ),
}


class BadIdx(ValueError):
    """What is wrong with the content of an idx file."""


def parse_idx(content: npt.NDArray[np.uint8], dimensions: int) -> npt.NDArray[np.uint8]:
    """The unsigned bytes of an idx file as an array. Raises BadIdx for a bad header or size.

    content: [bytes of the file]. The header is 0, 0, 0x08 (unsigned byte), the number of
    dimensions, and each dimension as a big-endian 32-bit integer.
    """
    header = 4 + 4 * dimensions
    if len(content) < header:
        raise BadIdx(f"truncated ({len(content)} bytes, less than the header)")
    if content[:4].tolist() != [0, 0, 8, dimensions]:
        raise BadIdx(f"not an idx file of unsigned bytes with {dimensions} dimensions")
    shape = tuple(int(size) for size in content[4:header].view(">u4"))
    expected = header + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        word = "truncated" if len(content) < expected else "altered"
        raise BadIdx(f"{word} ({len(content)} bytes, the header announces {expected})")
    return content[header:].reshape(shape)


class IdxSource(Source):
    """Four idx files in torchvision's layout, ``<folder>/raw/``, unpacked or as .gz."""

    native_shape: ClassVar[Shape] = (28, 28, 1)
    folder: ClassVar[str]  # also the name of torchvision's class
    classes: ClassVar[tuple[str, ...]]
    sha256: ClassVar[dict[str, str]] = {}  # of the unpacked files, where we know it

    def files(self, root: Path) -> list[Path]:
        return [self._present(root / self.folder / "raw" / name) for name in _DIMENSIONS]

    @staticmethod
    def _present(path: Path) -> Path:
        """The file, or the archive of it where only that is there."""
        archive = path.with_name(path.name + ".gz")
        return archive if archive.exists() and not path.exists() else path

    def fetch(self, root: Path, report: Report, *, offline: bool) -> None:
        from normbench.data.download import obtain, unpack_gzip

        if offline:
            raise DataError("downloads are switched off")
        mirrors = self._published().mirrors
        urls = [https for url in mirrors for https in _https_of(url)]
        for path in self.files(root):
            if not path.exists():
                name = path.name + ".gz"
                archive = path.with_name(name)
                md5 = self._archive_md5()[name]
                obtain(archive, [url + name for url in urls], md5, report, offline=offline)
                add_sums(path.parent, {path.name: unpack_gzip(archive, path)})

    def _published(self) -> Any:
        return getattr(torchvision().datasets, self.folder)

    def _archive_md5(self) -> dict[str, str]:
        return dict(self._published().resources)

    def read(self, root: Path, report: Report) -> RawDataset:
        sums = read_sums(root / self.folder / "raw") | self.sha256
        arrays: dict[str, npt.NDArray[np.uint8]] = {}
        faults: list[tuple[Path, str | None]] = []
        unverified = []
        for path in self.files(root):
            name = path.name.removesuffix(".gz")
            try:
                content = _content(path)
                arrays[name] = parse_idx(content, _DIMENSIONS[name])
            except (BadIdx, OSError, EOFError, zlib.error) as error:
                faults.append((path, str(error) or "truncated"))
                continue
            if name in sums:
                digest = hashlib.sha256(content.data).hexdigest()
                faults.append((path, mismatch("SHA-256", digest, sums[name])))
            elif path.suffix == ".gz":
                md5 = self._archive_md5()[path.name]
                faults.append((path, mismatch("MD5", file_digest(path, "md5"), md5)))
            else:
                unverified.append(name)
        raise_faults(faults)
        if unverified:
            report.note(
                f"{root / self.folder / 'raw'}: {', '.join(unverified)} could only be checked for "
                f"size and format: no checksum is known (no {SUMS} beside them)"
            )
        train_images, train_labels, test_images, test_labels = arrays.values()
        return RawDataset(
            train_images[..., np.newaxis],
            train_labels.astype(np.int64),
            test_images[..., np.newaxis],
            test_labels.astype(np.int64),
            self.classes,
        )


def _https_of(url: str) -> tuple[str, ...]:
    return (url,) if url.startswith("https://") else _HTTPS.get(url, ())


def _content(path: Path) -> npt.NDArray[np.uint8]:
    if path.suffix == ".gz":
        return np.frombuffer(gzip.decompress(path.read_bytes()), dtype=np.uint8)
    return np.fromfile(path, dtype=np.uint8)


@DATASETS.register("mnist")
class Mnist(IdxSource):
    """MNIST: 70,000 handwritten digits of 28x28 pixels, 10,000 of them for the test.

    LeCun, Bottou, Bengio & Haffner 1998, "Gradient-based learning applied to document
    recognition", Proc. IEEE 86(11), doi:10.1109/5.726791.
    """

    folder = "MNIST"
    classes = tuple(str(digit) for digit in range(10))
    sha256: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    }


@DATASETS.register("fashion_mnist", aliases=("fashion-mnist",))
class FashionMnist(IdxSource):
    """Fashion-MNIST: 70,000 pictures of clothing of 28x28 pixels, 10,000 of them for the test.

    Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747.
    """

    folder = "FashionMNIST"
    classes = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )


@DATASETS.register("kmnist")
class Kmnist(IdxSource):
    """Kuzushiji-MNIST: 70,000 cursive hiragana of 28x28 pixels, 10,000 of them for the test.

    Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto & Ha 2018, arXiv:1812.01718.
    """

    folder = "KMNIST"
    classes = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")
