from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from normbench.data import Dataset, prepare
from normbench.data.sources.folder import Folder, read_image
from normbench.errors import DataError

CLASSES = ("cat", "dog")


def picture(path: Path, value: int = 100, size: tuple[int, int] = (8, 8)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    for number, name in enumerate(CLASSES):
        for index in range(10):
            picture(root / name / f"{index}.png", 100 * number + index)
    return root


def read(root: Path, **options: Any) -> Dataset:
    return prepare("folder", options={"path": str(root), "image_size": 8, **options})


def test_without_a_train_folder_a_fifth_is_cut_off_stratified_and_always_the_same(pictures: Path):
    dataset = read(pictures)
    assert dataset.classes == CLASSES
    assert np.bincount(dataset.train_labels).tolist() == [8, 8]
    assert np.bincount(dataset.test_labels).tolist() == [2, 2]
    assert (dataset.train_images[:, 0, 0, 0] // 100 == dataset.train_labels).all()
    picture(pictures / "cat" / "0.png", 7)
    changed = read(pictures)
    same = (changed.test_images == dataset.test_images).all(axis=(1, 2, 3))
    assert same.sum() >= 3


def test_train_and_test_folders_are_taken_as_they_are(tmp_path: Path):
    for part, count in (("train", 3), ("test", 1)):
        for name in CLASSES:
            for index in range(count):
                picture(tmp_path / part / name / f"{index}.jpg")
    dataset = read(tmp_path, channels=1)
    assert dataset.train_images.shape == (6, 8, 8, 1)
    assert dataset.test_labels.tolist() == [0, 1]


def test_a_class_may_be_called_train(tmp_path: Path):
    for name in ("car", "train"):
        for index in range(5):
            picture(tmp_path / "pictures" / name / f"{index}.png")
    assert read(tmp_path / "pictures").classes == ("car", "train")


@pytest.mark.parametrize("kind", ["png", "jpg", "jpeg", "bmp", "webp", "gif", "tif", "PNG"])
def test_every_image_format_is_read(kind: str, tmp_path: Path):
    picture(tmp_path / f"a.{kind}", 100, (9, 5))
    image = read_image(tmp_path / f"a.{kind}", 4, 3)
    assert image.shape == (4, 4, 3)
    assert np.abs(image.astype(int) - 100).max() <= 2


def test_an_image_is_cropped_at_its_centre_and_turned_upright(tmp_path: Path):
    pixels = np.zeros((4, 12, 3), dtype=np.uint8)
    pixels[:, 4:8] = 200
    pixels[0] = 50
    Image.fromarray(pixels).save(tmp_path / "wide.png")
    image = read_image(tmp_path / "wide.png", 4, 3)
    assert (image[1:] == 200).all()
    assert (image[0] == 50).all()
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert (read_image(tmp_path / "turned.png", 4, 3)[3] == 50).all()


def test_sixteen_bit_greys_keep_their_high_byte(tmp_path: Path):
    Image.fromarray(np.full((4, 4), 0x4321, dtype=np.uint16)).save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", 4, 1) == 0x43).all()


def test_unreadable_images_are_counted_and_the_first_are_named(pictures: Path):
    for index in range(7):
        (pictures / "cat" / f"{index}.png").write_bytes(b"no image")
    with pytest.raises(DataError) as caught:
        read(pictures)
    text = str(caught.value)
    assert "7 of 20 images cannot be read" in text
    assert str(pictures / "cat" / "4.png") in text
    assert "5.png" not in text
    assert "and 2 more" in text


def test_an_image_of_more_pixels_than_pillow_trusts_is_refused_by_name(
    pictures: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
):
    """Pillow warns from one size on, and raises from twice that."""
    picture(pictures / "cat" / "large.png", size=(15, 20))
    for most in (200, 100):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", most)
        with pytest.raises(DataError, match=r"1 of 21 images.*\n.*large\.png: Image size \(300 "):
            read(pictures)
    assert not recwarn.list


def test_progress_is_told_while_decoding(pictures: Path):
    seen: list[tuple[int, int | None, str]] = []
    options = {"path": str(pictures)}
    prepare("folder", options=options, progress=lambda *step: seen.append(step))
    assert seen[-1] == (20, 20, "decoding images")


def test_what_is_not_an_image_or_hidden_is_passed_over(pictures: Path):
    (pictures / "cat" / "notes.txt").write_text("no image")
    (pictures / "cat" / ".hidden.png").write_bytes(b"no image")
    (pictures / ".thumbnails").mkdir()
    assert read(pictures).num_classes == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("absent", "does not exist"),
        ("file", "is not a folder"),
        ("no images", "no images in class folders"),
        ("empty class", "no images of the classes cow"),
        ("single class", "a single class, 'cat'"),
        ("no test", "train/ but no test/"),
        ("other classes", "in only one of train/ and test/: cow"),
        ("too few", "too few images for a test cut"),
    ],
)
def test_a_folder_that_is_no_dataset_is_refused_in_clear_words(
    change: str, words: str, tmp_path: Path
):
    root = tmp_path / "pictures"
    if change == "file":
        root.write_text("")
    elif change in ("no test", "other classes"):
        for name in CLASSES:
            picture(root / "train" / name / "1.png")
        if change == "other classes":
            for name in (*CLASSES, "cow"):
                picture(root / "test" / name / "1.png")
    elif change != "absent":
        for name in CLASSES[: 1 if change == "single class" else 2]:
            if change == "no images":
                (root / name).mkdir(parents=True)
            else:
                picture(root / name / "1.png")
        if change == "empty class":
            (root / "cow").mkdir()
    with pytest.raises(DataError, match=words) as caught:
        read(root)
    assert caught.value.exit_code == 3


def test_a_picture_more_is_noticed(pictures: Path):
    before = read(pictures)
    assert read(pictures).path == before.path
    picture(pictures / "dog" / "new.png")
    assert len(read(pictures).train_labels) == 17


def test_images_made_other_than_the_files_are_told(tmp_path: Path):
    for name in CLASSES:
        (tmp_path / name).mkdir()
        Image.new("L", (16, 16)).save(tmp_path / name / "0.png")
    assert Folder(str(tmp_path)).altered() == (
        "the images are made 32x32 colour, and 0.png is 16x16 grey: data.image_size and "
        "data.channels say"
    )
    assert Folder(str(tmp_path), image_size=16, channels=1).altered() == ""
    assert Folder(str(tmp_path), channels=1, resize=16).altered() == ""
