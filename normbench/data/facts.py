"""What is in a dataset, before anything is trained on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from normbench.data.catalog import Images, make_source, silent
from normbench.data.dataset import Dataset
from normbench.data.folders import cache_root, data_root
from normbench.data.prepared import at_hand, prepare
from normbench.errors import DataError

_CHUNK = 4096
"""Images looked at at a time, so that a large dataset need not fit into memory."""


@dataclass(frozen=True)
class Facts:
    """training: images to train on and to cut the validation from; validation: those that come
    apart, 0 where none do; per_class: name of the class -> its training images, without those that
    validate; constant: features (pixels of one channel) that are the same in all training images,
    of how many; low, high: the least and the largest value.
    """

    training: int
    validation: int
    test: int
    shape: tuple[int, int, int]
    kind: str
    low: float
    high: float
    per_class: dict[str, int]
    constant: int
    features: int


def facts(dataset: Dataset) -> Facts:
    """The facts of a prepared dataset; reads every training image once."""
    count = len(dataset.train_labels) - dataset.validation
    low, high = _extremes(dataset.train_images[:count])
    counts = np.bincount(dataset.train_labels[:count], minlength=dataset.num_classes)
    return Facts(
        count,
        dataset.validation,
        len(dataset.test_labels),
        dataset.image_shape,
        str(dataset.train_images.dtype),
        float(low.min()),
        float(high.max()),
        dict(zip(dataset.classes, counts.tolist(), strict=True)),
        int((low == high).sum()),
        low.size,
    )


def _extremes(images: Images) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The least and the largest value of every feature [H, W, C] of images [N, H, W, C]."""
    low, high = images[0], images[0]
    for start in range(0, len(images), _CHUNK):
        part = images[start : start + _CHUNK]
        low, high = np.minimum(low, part.min(axis=0)), np.maximum(high, part.max(axis=0))
    return low.astype(np.float32), high.astype(np.float32)


def look(
    name: str, *, data_dir: Path | None = None, options: Mapping[str, Any] | None = None
) -> Facts | str:
    """What is in a dataset, or why that cannot be told.

    Downloads nothing and runs no code of the user's: of such data only what was read before is
    known.
    """
    source = make_source(name, options)
    try:
        unread = source.unread(source.root(data_root(data_dir, cache_root(silent))))
        if not unread:
            return facts(prepare(name, data_dir=data_dir, options=options, offline=True))
        known = at_hand(name, data_dir=data_dir, options=options) if source.pinned_down else None
        return facts(known) if known else f"{unread}; `normbench train --dry-run` tells"
    except DataError as error:
        return str(error)
