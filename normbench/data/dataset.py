"""A dataset as runs use it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from normbench.data.catalog import Images, RawDataset
from normbench.data.splits import split
from normbench.data.sums import ARRAYS


@dataclass(frozen=True, eq=False)
class Dataset:
    """A prepared dataset. The images are memory maps: processes on one machine share their pages.

    train_images, test_images: uint8 or float32 [N, H, W, C]; train_labels, test_labels: int64 [N].
    mean, std: of the training images, per channel, in units of [0, 1] (pixel / 255) where they are
    uint8, else in their own. fingerprint: SHA-256 over shapes and bytes of the four arrays.
    validation: the last so many training images are the source's own validation part; 0: none.
    """

    name: str
    path: Path
    train_images: Images
    train_labels: npt.NDArray[np.int64]
    test_images: Images
    test_labels: npt.NDArray[np.int64]
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    fingerprint: str
    validation: int = 0

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        _, height, width, channels = self.train_images.shape
        return height, width, channels

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def raw(self) -> RawDataset:
        """The arrays themselves, to be sent elsewhere."""
        arrays = {key: np.asarray(getattr(self, key)) for key in ARRAYS}
        return RawDataset(**arrays, classes=self.classes, validation=self.validation)

    def split(
        self, validation: float, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(training, validation) indices into the training images.

        The source's own validation part, where it has one; else a stratified cut of ``validation``
        images, or of that share of them where it is below 1. Raises ValueError; see ``split``.
        """
        images = np.arange(len(self.train_labels))
        if self.validation:
            return images[: -self.validation], images[-self.validation :]
        return split(self.train_labels, self.held_out(validation), rng)

    def examples(self, validation: float) -> int:
        """How many images are left to train on, as ``split`` leaves them."""
        return len(self.train_labels) - self.held_out(validation)

    def held_out(self, validation: float) -> int:
        """How many images ``split`` keeps for validation."""
        if self.validation:
            return self.validation
        if validation >= 1:
            return int(validation)
        return max(round(validation * len(self.train_labels)), self.num_classes)
