"""Which examples validate, and in which order the others are seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from normbench.seeding import stream

Indices = npt.NDArray[np.int64]


def split(
    labels: npt.NDArray[np.int64], validation: int, rng: np.random.Generator
) -> tuple[Indices, Indices]:
    """Cut ``validation`` examples off, stratified: (train indices, validation indices), sorted.

    labels: [N]. Each class gives its share, rounded by largest remainder so that the count is
    exact (ties go to the lower label), and a class of two or more examples is in both parts. 0
    leaves everything for training. Raises ValueError when the cut is smaller than the number of
    classes or leaves fewer training examples than classes.
    """
    classes, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    if validation == 0:
        return np.arange(len(labels)), np.empty(0, dtype=np.int64)
    if validation < len(classes):
        raise ValueError(
            f"a validation set of {validation} is smaller than the {len(classes)} classes"
        )
    if validation > len(labels) - len(classes):
        raise ValueError(
            f"a validation set of {validation} is too large: {len(labels)} examples of "
            f"{len(classes)} classes leave at most {len(labels) - len(classes)}"
        )
    taken = _shares(counts, validation)
    shuffled = rng.permutation(len(labels))
    by_class = shuffled[np.argsort(inverse[shuffled], kind="stable")]
    rank = np.arange(len(labels)) - np.repeat(np.cumsum(counts) - counts, counts)
    chosen = np.zeros(len(labels), dtype=bool)
    chosen[by_class] = rank < np.repeat(taken, counts)
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _shares(counts: Indices, total: int) -> Indices:
    """``total`` in proportion to ``counts``; a class of two or more keeps one on either side."""
    shares, remainders = np.divmod(counts * total, counts.sum())
    shares[np.argsort(-remainders, kind="stable")[: total - shares.sum()]] += 1
    low, high = np.minimum(1, counts - 1), counts - 1
    shares = np.clip(shares, low, high)
    while (excess := int(shares.sum()) - total) != 0:  # only where a class is tiny
        if excess > 0:
            shares[np.argmax(shares - low)] -= 1
        else:
            shares[np.argmax(high - shares)] += 1
    return shares


def epoch_order(seed: int, epoch: int, n: int) -> Indices:
    """The order of the n training examples in ``epoch``: a function of seed and epoch alone."""
    return stream(seed, "batches", epoch).permutation(n)
