"""Layouts, kinds of number, sizes and labels: what is taken, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from normbench.data import RawDataset, split
from normbench.data.arrays import Part, assembled, image_array, resized
from normbench.errors import DataError
from normbench.seeding import stream


def made(x: Any, y: Any, **options: Any) -> RawDataset:
    train = Part(x, y, ("x_train", "y_train"))
    return assembled(train, None, None, **{"name": "npz", "origin": "mine.npz", **options})


def images(*shape: int, kind: str = "uint8") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(kind)


LABELS = np.arange(20) % 2


@pytest.mark.parametrize(
    ("shape", "layout", "axes"),
    [
        ((4, 5, 6), "auto", (0, 1, 2, None)),
        ((4, 5, 6, 3), "auto", (0, 1, 2, 3)),
        ((4, 5, 6, 1), "auto", (0, 1, 2, 3)),
        ((4, 3, 5, 6), "auto", (0, 2, 3, 1)),
        ((4, 1, 5, 6), "auto", (0, 2, 3, 1)),
        ((4, 4, 5, 3), "auto", (0, 1, 2, 3)),
        ((4, 5, 6, 4), "auto", (0, 1, 2, 3)),
        ((4, 3, 5, 3), "chw", (0, 2, 3, 1)),
        ((4, 3, 5, 3), "hwc", (0, 1, 2, 3)),
        ((4, 7, 5, 6), "chw", (0, 2, 3, 1)),
    ],
)
def test_every_layout_becomes_height_width_channels(shape, layout, axes):
    given = images(*shape)
    wanted = given[..., None] if axes[3] is None else given.transpose(axes)
    assert (image_array(given, "x", layout) == wanted).all()


def test_one_array_an_image_is_the_same_as_one_array():
    given = images(4, 3, 5, 6)
    assert (image_array(list(given), "x") == image_array(given, "x")).all()


@pytest.mark.parametrize("shape", [(4, 3, 5, 3), (4, 7, 5, 6), (4, 4, 4, 4)])
def test_a_shape_that_does_not_tell_the_channels_is_refused_naming_the_option(shape):
    with pytest.raises(DataError, match=r"(?s)end can be the channels.*data\.layout: hwc"):
        image_array(images(*shape), "x")


@pytest.mark.parametrize(
    ("values", "kind", "becomes"),
    [
        ([0, 255], "int64", "uint8"),
        ([0, 1], "bool", "uint8"),
        ([0, 256], "uint16", "float32"),
        ([-1, 3], "int8", "float32"),
        ([0.0, 1.0], "float64", "float32"),
        ([0.0, 255.0], "float16", "float32"),
    ],
)
def test_bytes_stay_bytes_and_all_other_numbers_keep_their_unit(values, kind, becomes):
    given = np.array(values, dtype=kind).reshape(1, 1, 2)
    found = image_array(given, "x")
    assert found.dtype == becomes
    assert (found.reshape(-1) == given.reshape(-1)).all()


def test_the_parts_of_whole_numbers_become_one_kind():
    test = Part(images(4, 5, 6, kind="int64"), [0, 1, 0, 1], ("x_test", "y_test"))
    train = Part(images(20, 5, 6).astype(int) * 2, LABELS, ("x_train", "y_train"))
    found = assembled(train, None, test, name="npz", origin="mine.npz")
    assert found.test_images.dtype == found.train_images.dtype == np.float32
    assert (found.test_images[..., 0] == test.images).all()


def test_without_a_test_part_a_fifth_is_cut_off_by_the_fixed_stratified_draw():
    given = images(20, 5, 6)
    found = made(given, LABELS)
    train, test = split(LABELS, 4, stream(0, "npz", "test"))
    assert (found.train_images[..., 0] == given[train]).all()
    assert (found.test_images[..., 0] == given[test]).all()
    assert (found.test_labels == LABELS[test]).all()


def test_labels_by_name_are_numbered_in_the_order_of_their_names():
    found = made(images(20, 5, 6), np.where(LABELS, "ant", "bee"))
    assert found.classes == ("ant", "bee")
    assert found.train_labels.tolist().count(0) == 8


def test_named_classes_give_the_numbers_their_names():
    found = made(images(20, 5, 6), LABELS[:, None], classes=np.array(["bee", "ant"]))
    assert found.classes == ("bee", "ant")


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.where(LABELS, 3, 0), r"y_train skip 1, 2 of 0 to 3"),
        (LABELS + 1, "y_train skip 0 of 0 to 2"),
        (np.where(LABELS, 10**12, 0), r"skip 1, 2, 3, 4, 5, \.\.\. of 0 to 1000000000000"),
        (LABELS * 0.5, "whole numbers from 0, got 0.5"),
        (np.where(LABELS, np.nan, 0), "whole numbers from 0, got nan"),
        (np.where(LABELS, np.inf, 0), "whole numbers from 0, got inf"),
        (LABELS - 1, "whole numbers from 0, got -1"),
        (LABELS * 0, "a single class in y_train"),
        (np.full(20, "ant"), "a single class in y_train"),
        (np.eye(2)[LABELS], r"y_train is \[20, 2\]; labels are \[N\]"),
        (LABELS[:19], "20 images in x_train but 19 labels in y_train"),
        (LABELS.astype(object), "whole numbers from 0"),
        ([], r"y_train is \[0\]"),
    ],
)
def test_labels_that_are_none_are_refused_in_clear_words(labels, words):
    with pytest.raises(DataError, match=f"mine.npz: .*{words}") as caught:
        made(images(20, 5, 6), labels)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.zeros((20, 25)), r"x_train is \[20, 25\](?s:.)*x\.reshape\(-1, 5, 5\)"),
        (np.zeros((20, 26)), r"x_train is \[20, 26\]; images are"),
        (np.full((20, 2, 2), "a"), "which are no pixels"),
        (np.zeros((20, 0, 2)), r"x_train is \[20, 0, 2\]"),
        (np.where(np.arange(20) == 7, np.nan, 0)[:, None, None], r"NaN.*1 of 20.*image 7"),
        (np.full((20, 1, 1), np.inf), "20 of 20"),
        (np.full((20, 1, 1), 1e300), "beyond the range of float32"),
        ([np.zeros((4, 4))] * 19 + [np.zeros((5, 4))], r"unequal size(?s:.)*data\.resize"),
        ([np.zeros((4, 5))] * 19 + [np.zeros((4, 5, 3))], "1 of 3 channels"),
        ([np.zeros((4, 4))] * 19 + [np.zeros(4)], "image 19 of x_train"),
        ([], "no images in x_train"),
    ],
)
def test_pixels_that_are_none_are_refused_in_clear_words(pixels, words):
    with pytest.raises(DataError, match=f"mine.npz: .*{words}"):
        made(pixels, LABELS)


def test_parts_that_do_not_fit_together_are_refused():
    train = Part(images(20, 5, 6), LABELS, ("x_train", "y_train"))
    for x, y, words in (
        (images(4, 6, 6), [0, 1, 0, 1], r"unequal size: 5x6x1 in x_train, 6x6x1 in x_test"),
        (images(4, 5, 6), [0, 1, 0, 2], "the label 2, but the classes are 0 to 1"),
        (images(4, 5, 6) / 255, [0, 1, 0, 1], "x_train uint8, x_test float32"),
        (images(4, 5, 6), ["a", "b", "a", "b"], "the class 'a', which is not a training class"),
    ):
        test = Part(x, y, ("x_test", "y_test"))
        with pytest.raises(DataError, match=words):
            assembled(train, None, test, name="npz", origin="mine.npz")


def test_resizing_cuts_the_centre_square_and_keeps_a_flat_image_flat():
    wide = np.zeros((2, 4, 8, 3), dtype=np.uint8)
    wide[:, :, 2:6] = 200
    assert (resized(wide, 2) == 200).all()
    floats = np.full((1, 5, 7, 2), -3.25, dtype=np.float32)
    assert resized(floats, 4).shape == (1, 4, 4, 2)
    assert resized(floats, 4) == pytest.approx(-3.25)
    assert resized(wide, None) is wide


def test_resize_makes_images_of_unequal_size_alike():
    mixed = [np.full((4 + index % 3, 5), 10 * index) for index in range(20)]
    found = made(mixed, LABELS, resize=4)
    assert found.train_images.shape == (16, 4, 4, 1)
    assert found.train_images.dtype == np.uint8
