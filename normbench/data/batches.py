"""Batches from images that stay as they are stored, uint8 or float32, where the training runs.

Nothing here waits for the device: index tensors are built on the host from numbers the host
knows, and moved without blocking.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from normbench.seeding import stream

if TYPE_CHECKING:
    from normbench.data.catalog import Images
    from normbench.data.dataset import Dataset

Layout = Literal["flat", "image"]
Indices = npt.NDArray[np.int64] | Tensor


@dataclass(frozen=True)
class Augment:
    """crop: a random crop after padding by that many zero pixels; flip: mirror every second image.

    The padding is of pixel value 0, before normalization. The crop comes first, then the flip.
    """

    crop: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        if self.crop < 0:
            raise ValueError(f"a crop of {self.crop} pixels is negative")

    def __bool__(self) -> bool:
        return self.crop > 0 or self.flip


def draw(
    augment: Augment, n: int, seed: int, epoch: int, step: int
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Which of n images are mirrored [n], and each crop's offset (down, right) [n, 2].

    The same for every device, and a function of its arguments alone; the mirrored ones do not
    depend on the crop.
    """
    rng = stream(seed, "augment", epoch, step)
    flipped = rng.random(n) < 0.5
    return flipped & augment.flip, rng.integers(0, 2 * augment.crop + 1, size=(n, 2))


class DeviceData:
    """The images and labels of one part of a dataset, on a device, served as batches.

    images: uint8 [N, H, W, C], kept as they are (on a CPU the array itself, which may be a memory
    map); labels: int64 [N]. A batch is x float32, normalized per channel as (x/255 - mean) / std,
    and y int64 [B]; of float32 images as (x - mean) / std. ``layout`` "flat" gives x [B, H*W*C],
    contiguous; "image" gives [B, C, H, W] in channels_last memory order, which the storage already
    has.
    """

    def __init__(
        self,
        images: Images,
        labels: npt.NDArray[np.int64],
        mean: Sequence[float],
        std: Sequence[float],
        *,
        device: torch.device | str = "cpu",
        layout: Layout = "image",
    ):
        _, self.height, self.width, self.channels = images.shape
        self.device = torch.device(device)
        self.layout: Layout = layout
        # One row an image: a single gather of long contiguous rows.  [N, H*W*C]
        self.images = torch.from_numpy(images.reshape(len(images), -1)).to(self.device)
        self.labels = torch.from_numpy(labels).to(self.device)
        # A row as long as an image, not [C]: the last axis then vectorizes whatever C is.
        spread = np.array([value or 1.0 for value in std])  # a constant channel stays 0
        shape = (self.height * self.width, 1)
        unit = 255 if images.dtype == np.uint8 else 1
        scale = np.tile(1 / (unit * spread), shape).astype(np.float32).reshape(-1)
        shift = np.tile(-np.asarray(mean) / spread, shape).astype(np.float32).reshape(-1)
        self._scale = torch.from_numpy(scale).to(self.device)  # [H*W*C]
        self._shift = torch.from_numpy(shift).to(self.device)  # [H*W*C]

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        part: Literal["train", "test"],
        *,
        device: torch.device | str = "cpu",
        layout: Layout = "image",
    ) -> DeviceData:
        """A part of a prepared dataset; a validation split is a set of indices into "train"."""
        images = dataset.train_images if part == "train" else dataset.test_images
        labels = dataset.train_labels if part == "train" else dataset.test_labels
        return cls(images, labels, dataset.mean, dataset.std, device=device, layout=layout)

    def __len__(self) -> int:
        return len(self.labels)

    def indices(self, indices: Indices) -> Tensor:
        """Move indices to the device without waiting: an epoch's order at once, then slices."""
        if isinstance(indices, np.ndarray):
            return self._move(indices)
        return indices.to(self.device, non_blocking=True)

    def batch(self, indices: Indices) -> tuple[Tensor, Tensor]:
        """The examples at ``indices`` [B], as they are: (x, y)."""
        where = self.indices(indices)
        return self._finish(self.images.index_select(0, where)), self.labels.index_select(0, where)

    def augmented(
        self, indices: Indices, augment: Augment, *, seed: int, epoch: int, step: int
    ) -> tuple[Tensor, Tensor]:
        """The examples at ``indices`` [B] under the augmentation of this step: (x, y)."""
        if not augment:
            return self.batch(indices)
        where = self.indices(indices)
        flipped, offsets = draw(augment, len(where), seed, epoch, step)
        pixels = self.images.index_select(0, where).view(-1, self.height, self.width, self.channels)
        if augment.crop:
            pixels = self._crop(pixels, augment.crop, offsets)
        if augment.flip:
            # The host knows how many are mirrored, so this needs no answer from the device.
            mirrored = self._move(np.flatnonzero(flipped))
            pixels[mirrored] = pixels[mirrored].flip(2)
        return self._finish(pixels.reshape(len(where), -1)), self.labels.index_select(0, where)

    def eval_batches(self, indices: Indices, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All of ``indices`` in their order, without augmentation; the last batch may be short."""
        where = self.indices(indices)
        for start in range(0, len(where), batch_size):
            yield self.batch(where[start : start + batch_size])

    def _crop(self, pixels: Tensor, pad: int, offsets: npt.NDArray[np.int64]) -> Tensor:
        """Each of [B, H, W, C] from its own offset in the image padded with zeros."""
        count, height, width, channels = pixels.shape
        padded = pixels.new_zeros(count, height + 2 * pad, width + 2 * pad, channels)
        padded[:, pad : pad + height, pad : pad + width] = pixels
        image, row, column, _ = padded.stride()
        # A view of every possible crop [B, 2*pad+1, 2*pad+1, H, W*C]: choosing one is one gather
        # of rows of W*C contiguous bytes.
        crops = padded.as_strided(
            (count, 2 * pad + 1, 2 * pad + 1, height, width * channels),
            (image, row, column, row, 1),
        )
        chosen = self._move(np.column_stack([np.arange(count), offsets]))  # [B, 3]
        return crops[chosen[:, 0], chosen[:, 1], chosen[:, 2]].view(pixels.shape)

    def _finish(self, pixels: Tensor) -> Tensor:
        """Stored [B, H*W*C] -> float32, normalized, in the layout asked for."""
        x = pixels.to(torch.float32)  # of float32 the gathered rows themselves, which are ours
        torch.addcmul(self._shift, x, self._scale, out=x)  # in place: x is in the cache already
        if self.layout == "flat":
            return x
        return x.view(-1, self.height, self.width, self.channels).permute(0, 3, 1, 2)

    def _move(self, array: npt.NDArray[np.int64]) -> Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type == "cuda":  # a copy from pageable memory would wait for the device
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)
