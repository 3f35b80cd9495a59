from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch

from normbench.data import prepare
from normbench.data.batches import Augment, DeviceData, Layout, draw

MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
WHERE = np.array([3, 0, 19, 3, 7, 11, 12])


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (20, 7, 6, 3), dtype=np.uint8)


def device_data(images: np.ndarray, **options: Any) -> DeviceData:
    labels = np.arange(len(images), dtype=np.int64)
    channels = images.shape[3]
    return DeviceData(images, labels, MEAN[:channels], STD[:channels], **options)


def normalized(images: np.ndarray) -> np.ndarray:
    channels = images.shape[3]
    return (images / 255.0 - np.array(MEAN[:channels])) / np.array(STD[:channels])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("layout", ["flat", "image"])
def test_a_batch_is_the_normalized_examples_in_the_layout_asked_for(
    layout: Layout, channels: int, device: str, images: np.ndarray
):
    images = np.ascontiguousarray(images[..., :channels])
    x, y = device_data(images, layout=layout, device=device).batch(WHERE)
    expected = normalized(images[WHERE])
    if layout == "flat":
        expected = expected.reshape(len(WHERE), -1)
        assert x.is_contiguous()
    else:
        expected = expected.transpose(0, 3, 1, 2)
        assert x.is_contiguous(memory_format=torch.channels_last)
    assert x.dtype == torch.float32
    assert np.allclose(x.cpu(), expected, atol=1e-5)
    assert y.tolist() == WHERE.tolist()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("layout", ["flat", "image"])
@pytest.mark.parametrize("augment", [Augment(crop=2), Augment(flip=True), Augment(3, True)])
def test_crop_and_flip_equal_a_slow_reference_image_by_image(
    augment: Augment, layout: Layout, device: str, images: np.ndarray
):
    data = device_data(images, layout=layout, device=device)
    x, y = data.augmented(WHERE, augment, seed=5, epoch=2, step=9)
    flipped, offsets = draw(augment, len(WHERE), 5, 2, 9)
    pad = augment.crop
    expected = []
    for index, mirror, (down, right) in zip(WHERE, flipped, offsets, strict=True):
        padded = np.pad(images[index], ((pad, pad), (pad, pad), (0, 0)))
        crop = padded[down : down + 7, right : right + 6]
        expected.append(crop[:, ::-1] if mirror else crop)
    reference = normalized(np.stack(expected))
    if layout == "image":
        reference = reference.transpose(0, 3, 1, 2)
        assert x.is_contiguous(memory_format=torch.channels_last)
    assert np.allclose(x.cpu(), reference.reshape(x.shape), atol=1e-5)
    assert y.tolist() == WHERE.tolist()


def test_the_step_alone_decides_the_augmentation_so_a_run_can_resume(images: np.ndarray):
    data = device_data(images)
    augment = Augment(crop=2, flip=True)
    straight = [data.augmented(WHERE, augment, seed=0, epoch=1, step=k)[0] for k in range(4)]
    resumed, _ = device_data(images).augmented(WHERE, augment, seed=0, epoch=1, step=3)
    assert torch.equal(straight[3], resumed)
    assert not torch.equal(straight[2], resumed)


def test_the_mirrored_images_do_not_depend_on_the_crop():
    with_crop, without = draw(Augment(4, True), 50, 0, 0, 0), draw(Augment(0, True), 50, 0, 0, 0)
    assert (with_crop[0] == without[0]).all()
    assert 0 < with_crop[0].sum() < 50
    assert set(np.unique(with_crop[1])) == set(range(9))
    assert not without[1].any()


def test_without_an_augmentation_the_batch_is_the_plain_one(images: np.ndarray):
    data = device_data(images)
    plain, _ = data.batch(WHERE)
    same, _ = data.augmented(WHERE, Augment(), seed=0, epoch=0, step=0)
    assert torch.equal(plain, same)
    with pytest.raises(ValueError, match="negative"):
        Augment(crop=-1)


def test_evaluation_sees_every_index_once_in_order(images: np.ndarray):
    data = device_data(images)
    batches = list(data.eval_batches(WHERE, 3))
    assert [len(y) for _, y in batches] == [3, 3, 1]
    assert torch.cat([y for _, y in batches]).tolist() == WHERE.tolist()
    assert torch.equal(torch.cat([x for x, _ in batches]), data.batch(WHERE)[0])


def test_indices_can_be_moved_once_and_sliced_later(images: np.ndarray):
    data = device_data(images)
    order = data.indices(WHERE)
    assert torch.equal(data.batch(order[2:5])[0], data.batch(WHERE[2:5])[0])


def test_on_a_cpu_the_images_stay_the_memory_map_and_are_not_changed():
    dataset = prepare("digits", offline=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = DeviceData.of(dataset, "train", layout="image")
    assert data.images.data_ptr() == dataset.train_images.ctypes.data
    before = np.array(dataset.train_images)
    data.augmented(WHERE, Augment(1, True), seed=0, epoch=0, step=0)
    assert (dataset.train_images == before).all()
    x, _ = data.batch(np.arange(len(data)))
    assert float(x.mean()) == pytest.approx(0, abs=1e-4)
    assert float(x.std(correction=0)) == pytest.approx(1, abs=1e-4)
    assert len(DeviceData.of(dataset, "test")) == 360


def test_a_channel_that_never_varies_becomes_zero():
    images = np.full((4, 2, 2, 1), 51, dtype=np.uint8)
    x, _ = DeviceData(images, np.zeros(4, dtype=np.int64), [0.2], [0.0]).batch(np.arange(4))
    assert float(x.abs().max()) < 1e-6


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_nothing_waits_for_the_device(images: np.ndarray):
    data = device_data(images, device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        data.augmented(WHERE, Augment(2, True), seed=0, epoch=0, step=0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
