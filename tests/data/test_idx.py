from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pretended_web import Web

from normbench.data import prepare
from normbench.data.sources.idx import BadIdx, Kmnist, Mnist, parse_idx
from normbench.errors import DataError
from normbench.vision import torchvision

Write = Callable[[str], Path]


def as_bytes(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint8)


def test_an_idx_file_is_its_header_and_then_the_array():
    content = as_bytes(0, 0, 8, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6)
    assert parse_idx(content, 2).tolist() == [[1, 2, 3], [4, 5, 6]]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ((0, 0, 8), "truncated"),
        ((0, 0, 9, 1, 0, 0, 0, 1, 7), "not an idx file"),
        ((0, 0, 8, 2, 0, 0, 0, 1, 7), "not an idx file"),
        ((0, 0, 8, 1, 0, 0, 0, 2, 7), "truncated"),
        ((0, 0, 8, 1, 0, 0, 0, 1, 7, 7), "altered"),
        ((0, 0, 8, 1, 255, 255, 255, 255, 7), "truncated"),
    ],
)
def test_a_bad_header_or_size_is_told_apart(content: tuple[int, ...], fault: str):
    with pytest.raises(BadIdx, match=fault):
        parse_idx(as_bytes(*content), 1)


def test_hand_placed_files_without_a_checksum_are_read_with_a_note(write_idx: Write):
    notes: list[str] = []
    dataset = prepare("kmnist", data_dir=write_idx("KMNIST"), note=notes.append)
    assert dataset.train_images.shape == (40, 5, 4, 1)
    assert dataset.test_labels.tolist() == [*range(10)] * 2
    assert dataset.classes[0] == "o"
    assert len(notes) == 1
    assert "no checksum is known" in notes[0]


def test_files_that_are_only_there_as_archives_are_read_as_they_are(
    write_idx: Write, monkeypatch: pytest.MonkeyPatch
):
    root = write_idx("KMNIST")
    digests = []
    for path in sorted((root / "KMNIST" / "raw").iterdir()):
        archive = gzip.compress(path.read_bytes())
        path.with_name(path.name + ".gz").write_bytes(archive)
        path.unlink()
        digests.append((path.name + ".gz", hashlib.md5(archive).hexdigest()))
    monkeypatch.setattr(torchvision().datasets.KMNIST, "resources", digests)
    notes: list[str] = []
    assert len(prepare("kmnist", data_dir=root, note=notes.append).train_labels) == 40
    assert notes == []
    altered = root / "KMNIST" / "raw" / digests[0][0]
    altered.write_bytes(gzip.compress(b"other"))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: truncated"):
        prepare("kmnist", data_dir=root)
    altered.write_bytes(altered.read_bytes()[:12])
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz"):
        prepare("kmnist", data_dir=root)


def test_every_faulty_file_is_named_with_its_fault_and_the_remedy(write_idx: Write):
    raw = write_idx("KMNIST") / "KMNIST" / "raw"
    (raw / "train-images-idx3-ubyte").write_bytes(
        (raw / "train-images-idx3-ubyte").read_bytes()[:-1]
    )
    (raw / "t10k-labels-idx1-ubyte").write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError) as caught:
        prepare("kmnist", data_dir=raw.parents[1])
    text = str(caught.value)
    assert "train-images-idx3-ubyte: truncated (815 bytes, the header announces 816)" in text
    assert "t10k-labels-idx1-ubyte: not an idx file" in text
    assert "delete the file and run again" in text


def test_a_well_formed_file_that_is_not_the_pinned_one_is_altered(write_idx: Write):
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte: altered.*expected ba891046"):
        prepare("mnist", data_dir=write_idx("MNIST"))


def test_a_label_outside_the_classes_is_an_error(write_idx: Write, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(Kmnist, "classes", ("a", "b"))
    with pytest.raises(DataError, match="not one of 2 classes"):
        prepare("kmnist", data_dir=write_idx("KMNIST"))


@pytest.mark.parametrize(
    ("name", "folder", "mirror"),
    [
        ("mnist", "MNIST", "https://ossci-datasets.s3.amazonaws.com/mnist/"),
        ("kmnist", "KMNIST", "https://codh.rois.ac.jp/kmnist/dataset/kmnist/"),
        (
            "fashion_mnist",
            "FashionMNIST",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
    ],
)
def test_a_download_is_unpacked_recorded_and_checked_against_the_record_later(
    name: str,
    folder: str,
    mirror: str,
    web: Web,
    idx_files: dict[str, bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
):
    archives = {f"{file}.gz": gzip.compress(content) for file, content in idx_files.items()}
    monkeypatch.setattr(
        getattr(torchvision().datasets, folder),
        "resources",
        [(file, hashlib.md5(archive).hexdigest()) for file, archive in archives.items()],
    )
    monkeypatch.setattr(Mnist, "sha256", {})
    for file, archive in archives.items():
        web.serve(mirror + file, archive)
    steps: list[tuple[int, int | None, str]] = []
    dataset = prepare(name, data_dir=tmp_path, progress=lambda *step: steps.append(step))
    assert len(dataset.train_labels) == 40
    assert all(url.startswith("https://") for url in web.asked)
    assert {label for _, _, label in steps} == set(archives)
    raw = tmp_path / folder / "raw"
    assert {path.name for path in raw.iterdir()} == {*archives, *idx_files, "SHA256SUMS"}
    for line in (raw / "SHA256SUMS").read_text().splitlines():
        digest, file = line.split("  ")
        assert hashlib.sha256(idx_files[file]).hexdigest() == digest

    content = bytearray(idx_files["train-images-idx3-ubyte"])
    content[-1] ^= 1
    (raw / "train-images-idx3-ubyte").write_bytes(content)
    with pytest.raises(DataError, match="train-images-idx3-ubyte: altered"):
        prepare(name, data_dir=tmp_path)

    (raw / "train-images-idx3-ubyte").unlink()  # the remedy: here the archive is still there
    assert prepare(name, data_dir=tmp_path).fingerprint == dataset.fingerprint


def test_the_real_mnist_has_its_published_mean_and_std_and_is_only_read(
    real_data: Path, tmp_path: Path
):
    def listing() -> list[tuple[Path, int]]:
        return sorted((path, path.stat().st_mtime_ns) for path in real_data.rglob("*"))

    before = listing()
    dataset = prepare("mnist", data_dir=real_data, offline=True)
    assert dataset.mean == pytest.approx([0.1307], abs=5e-5)
    assert dataset.std == pytest.approx([0.3081], abs=5e-5)
    assert dataset.train_images.shape == (60_000, 28, 28, 1)
    assert np.bincount(dataset.test_labels).tolist()[:3] == [980, 1135, 1032]
    assert listing() == before
