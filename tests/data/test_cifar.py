from __future__ import annotations

import hashlib
import io
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pretended_web import Web

from normbench.data import DATASETS, prepare
from normbench.data.sources.cifar import unpickle
from normbench.errors import DataError
from normbench.vision import torchvision

PER_BATCH = 12
NAMES = [b"cat", b"dog", b"frog"]


class Python2Pickler(pickle._Pickler):  # type: ignore[name-defined]
    """Writes text and bytes as Python 2 wrote its strings, which the published files hold."""

    dispatch = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]  # noqa: RUF012

    def save_string(self, value: str | bytes) -> None:
        raw = value.encode("latin1") if isinstance(value, str) else value
        self.write(b"T" + struct.pack("<i", len(raw)) + raw)
        self.memoize(value)

    dispatch[str] = dispatch[bytes] = save_string


def python2_pickle(value: object) -> bytes:
    file = io.BytesIO()
    Python2Pickler(file, protocol=2).dump(value)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def pack(folder: str, contents: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


class Published:
    """A small CIFAR in the real layout, published under the real address with its own digests."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch):
        self.kind: Any = DATASETS[name]
        self.vision: Any = getattr(torchvision().datasets, self.kind.published_as)
        rng = np.random.default_rng(0)
        self.images: dict[str, np.ndarray] = {}
        self.contents = {"readme.html": b"hello"}
        for file in (*self.kind.train_files, self.kind.test_file):
            self.images[file] = rng.integers(0, 256, (PER_BATCH, 3072), dtype=np.uint8)
            labels = [index % 3 for index in range(PER_BATCH)]
            batch = {"data": self.images[file], self.kind.label_key: labels}
            self.contents[file] = python2_pickle(batch)
        self.contents[self.kind.meta_file] = python2_pickle({self.kind.class_names_key: NAMES})
        md5 = {n: hashlib.md5(content).hexdigest() for n, content in self.contents.items()}
        self.archive = pack(self.kind.folder, self.contents)
        patch = monkeypatch.setattr
        patch(self.vision, "tgz_md5", hashlib.md5(self.archive).hexdigest())
        patch(self.vision, "train_list", [[file, md5[file]] for file in self.kind.train_files])
        patch(self.vision, "test_list", [[self.kind.test_file, md5[self.kind.test_file]]])
        meta = {**self.vision.meta, "md5": md5[self.kind.meta_file]}
        patch(self.vision, "meta", meta)

    def place(self, root: Path) -> Path:
        folder = root / self.kind.folder
        folder.mkdir(parents=True)
        for name, content in self.contents.items():
            (folder / name).write_bytes(content)
        return folder


@pytest.fixture
def cifar10(monkeypatch: pytest.MonkeyPatch) -> Published:
    return Published("cifar10", monkeypatch)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_archive_is_downloaded_checked_unpacked_and_read(
    name: str, tmp_path: Path, web: Web, monkeypatch: pytest.MonkeyPatch
):
    published = Published(name, monkeypatch)
    web.serve(published.vision.url, published.archive)
    dataset = prepare(name, data_dir=tmp_path / "data")
    assert dataset.classes == ("cat", "dog", "frog")
    assert len(dataset.train_labels) == PER_BATCH * len(published.kind.train_files)
    planes = published.images[published.kind.test_file].reshape(-1, 3, 32, 32)
    assert (dataset.test_images[5, 7, 9] == planes[5, :, 7, 9]).all()
    assert dataset.test_labels.tolist() == [0, 1, 2] * 4
    files = {path.name for path in (tmp_path / "data" / published.kind.folder).iterdir()}
    assert files == {*published.contents, "SHA256SUMS"} - {"readme.html"}
    assert [path.name for path in (tmp_path / "data").glob(".*")] == []


def test_an_archive_placed_by_hand_is_unpacked_offline(cifar10: Published, tmp_path: Path):
    (tmp_path / cifar10.vision.filename).write_bytes(cifar10.archive)
    assert prepare("cifar10", data_dir=tmp_path, offline=True).num_classes == 3


def test_batches_placed_by_hand_are_checked_by_the_published_digests(
    cifar10: Published, tmp_path: Path
):
    folder = cifar10.place(tmp_path)
    before = sorted(folder.iterdir())
    prepare("cifar10", data_dir=tmp_path, offline=True)
    assert sorted(folder.iterdir()) == before
    (folder / "data_batch_2").write_bytes(cifar10.contents["data_batch_2"][:-3])
    with pytest.raises(DataError, match=r"data_batch_2: altered or truncated \(MD5") as caught:
        prepare("cifar10", data_dir=tmp_path, offline=True)
    assert "data_batch_1" not in str(caught.value)
    assert "delete the file" in str(caught.value)


def test_an_altered_batch_is_never_unpickled(cifar10: Published, tmp_path: Path):
    class Touch:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "touched",)

    (cifar10.place(tmp_path) / "test_batch").write_bytes(pickle.dumps(Touch()))
    with pytest.raises(DataError, match="test_batch: altered"):
        prepare("cifar10", data_dir=tmp_path, offline=True)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("call", [eval, open, np.load])
def test_unpickling_admits_nothing_but_arrays_and_plain_values(call: Any):
    class Call:
        def __reduce__(self) -> tuple[Any, ...]:
            return call, ("1",)

    with pytest.raises(pickle.UnpicklingError, match="refused to load"):
        unpickle(pickle.dumps(Call(), protocol=2))
    value = {"data": np.arange(3, dtype=np.uint8), "labels": [1, 2]}
    assert (unpickle(pickle.dumps(value, protocol=3))["data"] == value["data"]).all()


@pytest.mark.parametrize("fault", ["truncated", "tampered"])
def test_a_bad_download_is_deleted_and_reported(
    fault: str, cifar10: Published, tmp_path: Path, web: Web
):
    body = cifar10.archive[:-100]
    if fault == "truncated":
        web.serve(cifar10.vision.url, body, length=len(cifar10.archive))
    else:
        web.serve(cifar10.vision.url, body + bytes(100))
    with pytest.raises(DataError) as caught:
        prepare("cifar10", data_dir=tmp_path / "data")
    words = {"truncated": "bytes arrived", "tampered": "MD5 is"}
    assert words[fault] in str(caught.value)
    assert list((tmp_path / "data").rglob("*")) == []
    web.serve(cifar10.vision.url, cifar10.archive)
    prepare("cifar10", data_dir=tmp_path / "data")


def test_a_deleted_batch_is_restored_and_the_others_are_left_as_they_are(
    cifar10: Published, tmp_path: Path
):
    (tmp_path / cifar10.vision.filename).write_bytes(cifar10.archive)
    folder = cifar10.place(tmp_path)
    (folder / "data_batch_3").unlink()
    kept = (folder / "data_batch_1").stat().st_ino
    prepare("cifar10", data_dir=tmp_path, offline=True)
    assert (folder / "data_batch_3").read_bytes() == cifar10.contents["data_batch_3"]
    assert (folder / "data_batch_1").stat().st_ino == kept
