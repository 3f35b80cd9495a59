"""A saved Hugging Face dataset as data of one's own."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import own
import pytest

from normbench.data import Dataset, prepare
from normbench.errors import DataError

LABELS = np.arange(20) % 2
IMAGES = np.random.default_rng(0).integers(0, 256, (20, 5, 6), dtype=np.uint8)


def saved(folder: Path, splits: dict[str, tuple[Any, Any]], **options: Any) -> Dataset:
    own.save(splits, folder / "saved")
    return prepare("huggingface", options={"path": str(folder / "saved"), **options})


def test_the_splits_of_a_saved_dataset_are_taken_as_they_are(tmp_path):
    parts = {"train": (IMAGES, LABELS), "validation": (IMAGES[:6], LABELS[:6])}
    found = saved(tmp_path, {**parts, "test": (IMAGES[:4], LABELS[:4])})
    assert found.classes == ("c", "d")
    assert (found.train_images[:20, :, :, 0] == IMAGES).all()
    assert (found.validation, len(found.test_labels)) == (6, 4)


def test_withheld_labels_leave_the_test_to_be_cut(tmp_path):
    found = saved(tmp_path, {"train": (IMAGES, LABELS), "test": (IMAGES[:4], [-1] * 4)})
    assert (len(found.train_labels), len(found.test_labels)) == (16, 4)


def test_columns_and_splits_that_are_not_there_are_told(tmp_path):
    with pytest.raises(DataError, match=r"no column 'picture'\n    data\.image names it"):
        saved(tmp_path, {"train": (IMAGES, LABELS)}, image="picture")
    with pytest.raises(DataError, match="has no split train"):
        saved(tmp_path / "b", {"tran": (IMAGES, LABELS)})


def test_pictures_of_a_saved_dataset_are_resized(tmp_path):
    mixed = [IMAGES[0], *IMAGES[1:, :4]]
    with pytest.raises(DataError, match=r"data\.resize"):
        saved(tmp_path, {"train": (mixed, LABELS)})
    assert saved(tmp_path / "b", {"train": (mixed, LABELS)}, resize=4).image_shape == (4, 4, 1)


@pytest.mark.skipif(
    importlib.util.find_spec("datasets") is not None, reason="the extra datasets is installed"
)
def test_without_the_extra_the_error_says_what_to_install(tmp_path):
    (tmp_path / "state.json").touch()
    with pytest.raises(DataError, match=r"pip install 'normbench\[datasets\]'"):
        prepare("huggingface", options={"path": str(tmp_path)})
