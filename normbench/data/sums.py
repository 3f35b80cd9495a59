"""What is computed of prepared arrays: their fingerprint and the statistics of their pixels."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from normbench.data.catalog import Images

ARRAYS = ("train_images", "train_labels", "test_images", "test_labels")


def fingerprint_of(arrays: Mapping[str, npt.NDArray[Any]], validation: int) -> str:
    """SHA-256 over shapes and bytes of the four arrays, and their own validation part."""
    digest = hashlib.sha256()
    for key in ARRAYS:
        array = np.ascontiguousarray(arrays[key])
        kind = "" if array.dtype in (np.uint8, np.int64) else f"{array.dtype} "
        digest.update(f"{key} {array.shape} {kind}".encode())
        digest.update(array.data)
    if validation:
        digest.update(f"validation {validation}".encode())
    return digest.hexdigest()


def meta_sum(meta: Mapping[str, Any]) -> str:
    """SHA-256 over everything in ``meta`` but the sum itself."""
    kept = {key: value for key, value in meta.items() if key != "sum"}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def channel_statistics(images: Images) -> tuple[list[float], list[float]]:
    """Mean and standard deviation per channel of images [N, H, W, C].

    Of uint8 in units of [0, 1], from a histogram, in whole numbers up to the last division: exact
    whatever the size. Of float32 in their own unit, in float64, the mean first.
    """
    if images.dtype != np.uint8:
        pixels = images.reshape(-1, images.shape[3])
        mean = pixels.mean(axis=0, dtype=np.float64)
        squares = np.zeros_like(mean)
        for start in range(0, len(pixels), 1 << 20):
            squares += ((pixels[start : start + (1 << 20)] - mean) ** 2).sum(axis=0)
        return mean.tolist(), np.sqrt(squares / len(pixels)).tolist()
    means, stds = [], []
    values = np.arange(256)
    for channel in range(images.shape[3]):
        histogram = np.zeros(256, dtype=np.int64)
        for start in range(0, len(images), 4096):
            pixels = images[start : start + 4096, :, :, channel]
            histogram += np.bincount(pixels.reshape(-1), minlength=256)
        count = int(histogram.sum())
        total, squares = int(histogram @ values), int(histogram @ values**2)
        means.append(total / count / 255)
        stds.append(((count * squares - total**2) / count**2) ** 0.5 / 255)
    return means, stds
