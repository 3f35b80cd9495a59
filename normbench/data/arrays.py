"""From what people keep their images in to the arrays that everything else reads.

Layouts, kinds of number, unequal sizes, labels by name: each is settled here, or refused with a
sentence, so that a source only has to say where its arrays come from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from normbench.data.catalog import Images, RawDataset
from normbench.data.splits import split
from normbench.errors import DataError
from normbench.seeding import stream

Layout = Literal["auto", "hwc", "chw"]
Labels = npt.NDArray[np.int64]
Pair = tuple[Images, Labels]

TEST_SHARE = 0.2
"""Of a source without a test part of its own."""

CHANNELS = ((1, 3), (4,))
"""As how long an axis is taken for the channels, the likelier lengths first."""

RESIZE = "data.resize: 64 makes every image 64x64, after a centred square crop"
_LISTED = 5


@dataclass(frozen=True)
class Part:
    """One part of a source, as it came.

    images: an array [N, H, W], [N, H, W, C] or [N, C, H, W], or one array an image, where sizes may
    differ; labels: [N], whole numbers from 0 or names; where: what messages call the two; layout:
    of the images, where it is known.
    """

    images: Any
    labels: Any
    where: tuple[str, str]
    layout: Layout | None = None


def assembled(
    train: Part,
    validation: Part | None,
    test: Part | None,
    *,
    name: str,
    origin: str,
    classes: Sequence[Any] | None = None,
    layout: Layout = "auto",
    resize: int | None = None,
) -> RawDataset:
    """The dataset of these parts. Raises DataError, which begins with ``origin``.

    name: of the source; without a test part, a fixed stratified fifth of the training images is
    drawn from the stream of that name. classes: their names, in the order of their numbers.
    """
    parts = [part for part in (train, validation, test) if part is not None]
    try:
        known = _class_names(train, classes)
        images = _of_one_kind(
            parts,
            [image_array(p.images, p.where[0], p.layout or layout, resize) for p in parts],
        )
        labels = [_numbers(part, known) for part in parts]
        for part, pixels, numbers in zip(parts, images, labels, strict=True):
            if len(pixels) != len(numbers):
                raise DataError(
                    f"{len(pixels)} images in {part.where[0]} but {len(numbers)} labels in "
                    f"{part.where[1]}"
                )
        _without_gaps(np.unique(labels[0]), len(known), train.where[1])
        if len(known) < 2:
            raise DataError(f"a single class in {train.where[1]}; two are the least")
        pairs = iter(zip(images, labels, strict=True))
        first = next(pairs)
        own = next(pairs) if validation is not None else None
        return joined(first, own, next(pairs, None), known, name)
    except DataError as error:
        raise DataError(f"{origin}: {error}") from None


def _of_one_kind(parts: Sequence[Part], images: list[Images]) -> list[Images]:
    """The images of the parts, of one size and all uint8 or all float32. Raises DataError."""
    for part, pixels in zip(parts, images, strict=True):
        if pixels.shape[1:] != images[0].shape[1:]:
            raise DataError(
                f"images of unequal size: {_shape(images[0].shape[1:])} in {parts[0].where[0]}, "
                f"{_shape(pixels.shape[1:])} in {part.where[0]}\n    {RESIZE}"
            )
    if len({pixels.dtype for pixels in images}) == 1:
        return images
    if all(getattr(part.images, "dtype", np.dtype("f")).kind in "bui" for part in parts):
        return [pixels.astype(np.float32) for pixels in images]
    # Perhaps 0 to 255 in one and 0 to 1 in the other.
    told = ", ".join(f"{p.where[0]} {i.dtype}" for p, i in zip(parts, images, strict=True))
    raise DataError(f"the parts are of several kinds of number: {told}")


def joined(
    train: Pair,
    validation: Pair | None,
    test: Pair | None,
    classes: Sequence[str],
    name: str,
) -> RawDataset:
    """The dataset of (images, labels) pairs; without a test part a fifth is cut off train."""
    images, labels = train
    if test is None:
        try:
            cut = max(round(TEST_SHARE * len(labels)), len(classes))
            kept, taken = split(labels, cut, stream(0, name, "test"))
        except ValueError as error:
            raise DataError(f"too few images for a test cut ({error})") from None
        test = images[taken], labels[taken]
        images, labels = images[kept], labels[kept]
    count = 0
    if validation is not None:
        count = len(validation[1])
        images = np.concatenate([images, validation[0]])
        labels = np.concatenate([labels, validation[1]])
    return RawDataset(images, labels, *test, tuple(classes), count)


# --- images ---


def image_array(
    images: Any, where: str, layout: Layout = "auto", resize: int | None = None
) -> Images:
    """[N, H, W, C], uint8 or float32, of an array or of one array an image. Raises DataError.

    Whole numbers of 0 to 255 become uint8, all others float32, in the unit they come in.
    """
    if not isinstance(images, np.ndarray):
        images = _stacked(list(images), where, layout, resize)
        layout = "hwc"
    if images.dtype.kind not in "buif":
        raise DataError(f"{where} holds {images.dtype}, which are no pixels")
    if images.ndim not in (3, 4) or 0 in images.shape:
        hint = ""
        if images.ndim == 2 and images.size:
            side = round(images.shape[1] ** 0.5)
            if side**2 == images.shape[1]:
                hint = f"\n    rows of pixels become images with  x.reshape(-1, {side}, {side})"
        raise DataError(
            f"{where} is {_brackets(images.shape)}; images are [N, H, W], [N, H, W, C] or "
            f"[N, C, H, W]{hint}"
        )
    if images.ndim == 3:
        images = images[..., np.newaxis]
    elif _is_channels_first(images.shape[1:], where, layout):
        images = images.transpose(0, 2, 3, 1)
    return resized(_in_kind(images, where), resize)


def _stacked(images: list[Any], where: str, layout: Layout, resize: int | None) -> npt.NDArray[Any]:
    """[N, H, W, C] of images that may differ in size, where ``resize`` says what to make of it."""
    whole = []
    for number, image in enumerate(images):
        image = np.asarray(image)
        if image.ndim not in (2, 3) or 0 in image.shape or image.dtype.kind not in "buif":
            raise DataError(
                f"image {number} of {where} is {_brackets(image.shape)} of {image.dtype}; an image "
                "is [H, W], [H, W, C] or [C, H, W]"
            )
        if image.ndim == 2:
            image = image[..., np.newaxis]
        elif _is_channels_first(image.shape, where, layout):
            image = image.transpose(1, 2, 0)
        whole.append(image)
    if not whole:
        raise DataError(f"no images in {where}")
    channels = Counter(image.shape[2] for image in whole)
    if len(channels) > 1:
        told = ", ".join(f"{count} of {c} channels" for c, count in sorted(channels.items()))
        raise DataError(f"grey and colour images in {where}: {told}")
    sizes = Counter(image.shape[:2] for image in whole)
    if len(sizes) > 1:
        if resize is None:
            raise DataError(unequal(sizes, where))
        floats = any(image.dtype.kind == "f" for image in whole)
        kind = np.dtype(np.float32) if floats else np.result_type(*{i.dtype for i in whole})
        return np.concatenate(
            [resized(_in_kind(i[np.newaxis].astype(kind), where), resize) for i in whole]
        )
    return np.stack(whole)


def unequal(sizes: Counter[tuple[int, int]], where: str) -> str:
    """The sentence about images of several sizes, the most frequent ones first."""
    listed = [f"{height}x{width}" for (height, width), _ in sizes.most_common(_LISTED)]
    more = ", ..." if len(sizes) > _LISTED else ""
    return f"images of unequal size in {where}: {', '.join(listed)}{more}\n    {RESIZE}"


def _is_channels_first(shape: tuple[int, ...], where: str, layout: Layout) -> bool:
    """Whether [C, H, W] rather than [H, W, C]."""
    if layout != "auto":
        return layout == "chw"
    for lengths in CHANNELS:
        first, last = shape[0] in lengths, shape[-1] in lengths
        if first != last:
            return first
        if first:
            break
    word = "either" if first else "neither"
    raise DataError(
        f"an image of {where} is {_brackets(shape)}, of which {word} end can be the channels\n"
        "    data.layout: hwc (or chw) says which axis they are"
    )


def _in_kind(images: npt.NDArray[Any], where: str) -> Images:
    """uint8 where that loses nothing, else float32; finite."""
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind in "bui":
        if images.min() >= 0 and images.max() <= 255:
            return images.astype(np.uint8)
        return images.astype(np.float32)
    bad = ~np.isfinite(images)
    if bad.any():
        faulty = int(bad.reshape(len(images), -1).any(axis=1).sum())
        first = int(bad.reshape(len(images), -1).any(axis=1).argmax())
        raise DataError(
            f"{where} has pixels that are NaN or infinite, in {faulty} of {len(images)} images "
            f"(first: image {first})"
        )
    with np.errstate(over="ignore"):
        narrow: npt.NDArray[np.float32] = images.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise DataError(f"{where} has pixels beyond the range of float32")
    return narrow


def resized(images: Images, side: int | None) -> Images:
    """[N, H, W, C] as [N, side, side, C]: a centred square crop, then bicubic. None: as they are.

    Channel by channel, so that any number of them will do.
    """
    if side is None or images.shape[1:3] == (side, side):
        return images
    from PIL import Image

    height, width = images.shape[1:3]
    least = min(height, width)
    top, left = (height - least) // 2, (width - least) // 2
    out = np.empty((len(images), side, side, images.shape[3]), dtype=images.dtype)
    for index, image in enumerate(images[:, top : top + least, left : left + least]):
        for channel in range(images.shape[3]):
            plane = Image.fromarray(np.ascontiguousarray(image[..., channel]))
            out[index, ..., channel] = plane.resize((side, side), Image.Resampling.BICUBIC)
    return out


# --- labels ---


def _flat(labels: Any, where: str) -> npt.NDArray[Any]:
    """[N]; a column [N, 1] is one as well."""
    array = np.asarray(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array):
        raise DataError(f"{where} is {_brackets(array.shape)}; labels are [N], one an image")
    return array


def _class_names(train: Part, given: Sequence[Any] | None) -> list[str]:
    """The classes, by name where labels are names, else by number."""
    if given is not None:
        if isinstance(given, np.ndarray) and given.ndim != 1:
            raise DataError(f"classes is {_brackets(given.shape)}; the names are [classes]")
        names = [str(name) for name in given]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise DataError(f"the class {twice[0]!r} is named twice")
        return names
    labels = _flat(train.labels, train.where[1])
    if labels.dtype.kind in "US":
        return sorted({_text(name, train.where[1]) for name in labels})
    present = np.unique(_whole(labels, train.where[1]))
    _without_gaps(present, int(present[-1]) + 1, train.where[1])
    return [str(number) for number in present]


def _text(name: Any, where: str) -> str:
    try:
        return name.decode() if isinstance(name, bytes) else str(name)
    except UnicodeDecodeError:
        raise DataError(
            f"{where} has the name {bytes(name)!r}, which is no text in UTF-8"
        ) from None


def _whole(labels: npt.NDArray[Any], where: str) -> Labels:
    if labels.dtype.kind not in "bui":
        odd = labels
        if labels.dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                odd = labels[~(labels % 1 == 0)]  # NaN and infinity are among them
        if len(odd):
            raise DataError(f"{where} must hold whole numbers from 0, got {odd[0]}")
    if labels.min() < 0:
        raise DataError(f"{where} must hold whole numbers from 0, got {int(labels.min())}")
    if labels.max() > np.iinfo(np.int64).max:
        raise DataError(f"{where} has the label {int(labels.max())}, which is beyond 64 bits")
    return labels.astype(np.int64)


def _numbers(part: Part, classes: Sequence[str]) -> Labels:
    """The labels [N] as numbers of ``classes``."""
    where = part.where[1]
    labels = _flat(part.labels, where)
    if labels.dtype.kind in "US":
        number = {name: index for index, name in enumerate(classes)}
        names = [_text(name, where) for name in labels]
        if unknown := sorted(set(names) - number.keys()):
            raise DataError(f"{where} has the class {unknown[0]!r}, which is not a training class")
        return np.array([number[name] for name in names], dtype=np.int64)
    whole = _whole(labels, where)
    if whole.max() >= len(classes):
        raise DataError(
            f"{where} has the label {whole.max()}, but the classes are 0 to {len(classes) - 1}"
        )
    return whole


def _without_gaps(present: Labels, classes: int, where: str) -> None:
    """Each class has a training image. present: [distinct labels], sorted."""
    if len(present) == classes:
        return
    near = np.arange(min(classes, len(present) + _LISTED))
    missing = np.setdiff1d(near, present)[:_LISTED]
    more = ", ..." if classes - len(present) > len(missing) else ""
    raise DataError(
        f"the labels in {where} skip {', '.join(map(str, missing))}{more} of 0 to {classes - 1}; "
        "number the classes without gaps"
    )


# --- words ---


def _brackets(shape: Iterable[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def _shape(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))
