"""An npz file of one's own: what it holds, and every way in which it can be wrong."""

from __future__ import annotations

import os
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from normbench.data import Dataset, adopt, prepare
from normbench.data.batches import DeviceData
from normbench.errors import DataError

LABELS = np.arange(20) % 2
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 5, 6), dtype=np.uint8)


def npz(folder: Path, **arrays: Any) -> Dataset:
    np.savez(folder / "mine.npz", **arrays)
    return prepare("npz", options={"path": str(folder / "mine.npz")})


def test_the_parts_of_an_npz_file_are_taken_as_they_are(tmp_path):
    found = npz(
        tmp_path,
        x_train=IMAGES,
        y_train=LABELS,
        x_test=IMAGES[:4],
        y_test=LABELS[:4],
        classes=["ant", "bee"],
    )
    assert (found.train_images[..., 0] == IMAGES).all()
    assert (found.test_images[..., 0] == IMAGES[:4]).all()
    assert found.test_labels.tolist() == [0, 1, 0, 1]
    assert found.classes == ("ant", "bee")
    assert found.validation == 0


def test_the_names_of_medmnist_are_known_too(tmp_path):
    found = npz(tmp_path, train_images=IMAGES, train_labels=LABELS[:, None])
    assert len(found.train_labels) == 16


def test_a_validation_part_validates_under_every_seed(tmp_path):
    found = npz(tmp_path, x_train=IMAGES, y_train=LABELS, x_val=IMAGES[:6], y_val=LABELS[:6])
    assert found.validation == 6
    for seed in (0, 1):
        train, validation = found.split(3, np.random.default_rng(seed))
        assert (found.train_images[validation, ..., 0] == IMAGES[:6]).all()
        assert len(train) == found.examples(3) == 16  # a fifth of 20 is the test
    assert found.mean[0] == pytest.approx(found.train_images[:16].mean() / 255)


def test_a_validation_part_and_floats_survive_being_sent_elsewhere(tmp_path, monkeypatch):
    x = IMAGES / 7
    sent = npz(tmp_path, x_train=x, y_train=LABELS, x_val=x[:6], y_val=LABELS[:6])
    monkeypatch.setenv("NORMBENCH_CACHE_DIR", str(tmp_path / "other"))
    kept = adopt("npz", sent.fingerprint, sent.raw)
    assert kept.path.is_relative_to(tmp_path / "other")
    assert (kept.validation, kept.mean, kept.std) == (sent.validation, sent.mean, sent.std)
    assert (kept.train_images == sent.train_images).all()


@pytest.mark.parametrize("share", [0.25, 4])
def test_validation_is_a_number_of_images_or_a_share_of_them(tmp_path, share):
    found = npz(tmp_path, x_train=IMAGES, y_train=LABELS)
    train, validation = found.split(share, np.random.default_rng(0))
    assert (len(train), len(validation)) == (12, 4)
    assert found.examples(share) == 12


def test_float_images_are_normalized_in_their_own_unit(tmp_path):
    pixels = np.random.default_rng(0).normal(5, 3, (40, 3, 5, 4)).astype(np.float32)
    found = npz(
        tmp_path,
        x_train=pixels,
        y_train=np.arange(40) % 2,
        x_test=pixels[:4],
        y_test=[0, 1, 0, 1],
    )
    assert found.train_images.dtype == np.float32
    mean, std = pixels.mean(axis=(0, 2, 3)), pixels.std(axis=(0, 2, 3))
    assert found.mean == pytest.approx(mean, rel=1e-5)
    assert found.std == pytest.approx(std, rel=1e-5)
    x, _ = DeviceData.of(found, "train").batch(np.arange(40))
    wanted = (pixels - mean[:, None, None]) / std[:, None, None]
    assert x.numpy() == pytest.approx(wanted, abs=1e-5)
    again, _ = DeviceData.of(found, "train").batch(np.arange(40))
    assert torch.equal(x, again)  # what a batch does to its pixels leaves those of the data alone


def test_the_same_numbers_as_bytes_and_as_floats_have_different_fingerprints(tmp_path):
    prints = {
        npz(tmp_path, x_train=IMAGES.astype(kind), y_train=LABELS).fingerprint
        for kind in ("uint8", "float32", "float64")
    }
    assert len(prints) == 2


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": IMAGES}, r"no x_train in it(?s:.)*known: x"),
        ({"x_train": IMAGES}, "x_train without y_train"),
        ({"x_train": IMAGES, "y_train": LABELS, "x_tset": IMAGES}, "nothing is known of 'x_tset'"),
        ({"x_train": IMAGES, "y_train": LABELS, "y_test": LABELS}, "y_test without x_test"),
        ({"x_train": IMAGES, "y_train": LABELS[:9]}, "20 images in x_train but 9 labels"),
        ({"x_train": IMAGES, "y_train": LABELS, "classes": "ab"}, r"classes is \[\]"),
        ({"x_train": np.array([IMAGES[0], 1], dtype=object), "y_train": LABELS}, "Python objects"),
    ],
)
def test_an_npz_file_that_is_no_dataset_is_refused_in_clear_words(arrays, words, tmp_path):
    with pytest.raises(DataError, match=words) as caught:
        npz(tmp_path, **arrays)
    assert str(tmp_path / "mine.npz") in str(caught.value)


def member(header: str, content: bytes = b"") -> bytes:
    """A member of an npz file with any header."""
    text = header.encode() + b" " * (-(len(header) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + content


def shaped(shape: str, descr: str = "'|u1'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (shaped("(1000000000, 1000, 1000)"), "x_train is damaged: its header tells of more"),
        (shaped(f"({'9' * 30}, 8, 8)"), "x_train is damaged: its header tells of more"),
        (shaped("(-1, 8, 8)"), "x_train is damaged"),
        (shaped(f"({'9' * 4000},)"), "x_train is damaged"),
        (shaped("(60,)", "'<U100000000'"), "x_train is damaged: its header tells of more"),
        ("(" * 9000, "is damaged"),
        ("__import__('os').abort()", "is damaged"),
    ],
    ids=lambda text: text[:12],
)
def test_a_header_that_does_not_fit_its_file_is_refused_before_memory_is_taken(
    tmp_path, header, words
):
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x_train.npy", member(header, bytes(100)))
        archive.writestr("y_train.npy", member(shaped("(100,)"), bytes(100)))
    with pytest.raises(DataError, match=words) as caught:
        prepare("npz", options={"path": str(path)})
    assert str(path) in str(caught.value)


def test_of_a_file_with_a_name_that_is_unknown_nothing_is_read(tmp_path, monkeypatch):
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=IMAGES, y_train=LABELS, junk=IMAGES)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(DataError, match="nothing is known of 'junk'"):
        prepare("npz", options={"path": str(path)})


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.where(LABELS == 0, 2**64 - 1, LABELS.astype(np.uint64)), "label 18446744073709551615"),
        (
            np.where(LABELS == 0, b"\xff", b"a"),
            r"y_train has the name b'\\xff', which is no text",
        ),
    ],
)
def test_labels_that_are_none_are_refused_by_the_name_of_the_file(tmp_path, labels, words):
    with pytest.raises(DataError, match=words) as caught:
        npz(tmp_path, x_train=IMAGES, y_train=labels)
    assert str(tmp_path / "mine.npz") in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes that have a name")
@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("a pipe", "is a pipe or a device, not an npz file"),
        ("a folder", "is a folder, not an npz file"),
        ("a loop", "is a link that leads to no file"),
    ],
)
def test_what_is_there_and_no_file_is_told_as_what_it_is(tmp_path, what, words):
    path = tmp_path / "mine.npz"
    if what == "a pipe":
        os.mkfifo(path)
    elif what == "a folder":
        path.mkdir()
    else:
        path.symlink_to(path)
    with pytest.raises(DataError, match=rf"{words}$"):
        prepare("npz", options={"path": str(path)})


def test_what_is_no_npz_file_is_refused_in_clear_words(tmp_path, cache):
    options = {"path": str(tmp_path / "mine.npz")}
    with pytest.raises(DataError, match="does not exist"):
        prepare("npz", options=options)
    (tmp_path / "mime.npz").touch()
    with pytest.raises(DataError, match=r"did you mean 'mime\.npz'"):
        prepare("npz", options=options)
    for content in (b"", b"no archive", b"PK\x03\x04 cut off"):
        (tmp_path / "mine.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"is no npz file, or damaged$"):
            prepare("npz", options=options)
    np.savez_compressed(tmp_path / "mine.npz", x_train=IMAGES, y_train=LABELS)
    whole = bytearray((tmp_path / "mine.npz").read_bytes())
    whole[200] ^= 255
    (tmp_path / "mine.npz").write_bytes(whole)
    with pytest.raises(DataError, match="is damaged"):
        prepare("npz", options=options)
    assert not (cache / "prepared").exists()
