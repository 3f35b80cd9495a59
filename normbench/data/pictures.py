"""Decoded pictures as arrays, all of one kind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL.Image import Image

_GREY = {"1": "L", "L": "L", "LA": "L"}
_WIDE = ("I", "I;16", "I;16L", "I;16B", "F")


def array_of(picture: Image, resize: int | None = None) -> npt.NDArray[Any]:
    """[H, W] of a grey picture, [H, W, 3] of any other, upright; cut and resized where asked for.

    8 bits a pixel, but for greys of 16 or 32 bits, which keep their numbers.
    """
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode in _WIDE:
        return np.asarray(picture)
    picture = picture.convert(_GREY.get(picture.mode, "RGB"))
    if resize is not None and picture.size != (resize, resize):
        picture = ImageOps.fit(picture, (resize, resize), Image.Resampling.BICUBIC)
    return np.asarray(picture)


def alike(pictures: Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
    """Grey ones among colour ones get three equal channels."""
    if len({picture.ndim for picture in pictures}) < 2:
        return list(pictures)
    return [
        np.repeat(picture[..., np.newaxis], 3, axis=2) if picture.ndim == 2 else picture
        for picture in pictures
    ]
