"""Residual networks block by block: what the stream carries, and the gradient that comes back.

Each block adds to its skip what Gaussian pre-activations make of a branch (``analysis.stream``), so
that mean squares add, and so do squared gradients. Hence with a branch of moment b, from a stream
of mean square 1 on: without a norm (1 + b)^l behind l blocks; with a norm before the branch
1 + b l, and the squared gradient is multiplied by 1 + lambda / (1 + b l) a block, a power law;
batch norm divides by the variance over the batch alone, which grows by b less what examples share;
a norm behind the sum leaves one factor a block. Hanin & Rolnick 2018, arXiv:1803.01719; Yang &
Schoenholz 2017, arXiv:1712.08969. The identity share of a block is the mean square of its skip over
that of skip plus branch: De & Smith 2020, arXiv:2002.10444.

Where the activation stands behind the sum (He et al. 2015, the original order), the stream is not
Gaussian: it is followed by its distribution, and the gradient as a function of its value, since a
value far above zero keeps its gradient through all the activations that follow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from normbench.analysis.activations import functions
from normbench.analysis.padding import spread
from normbench.analysis.stream import (
    Beyond,
    Operation,
    Setting,
    Signal,
    Way,
    back,
    run,
    settled,
)

Array = NDArray[np.float64]

_ATOMS = 400


@dataclass(frozen=True)
class Blocks:
    """By residual block, from the input: entering, mean square of what enters; shares, identity
    shares; gradient, squared gradient by what enters, over that of the last block."""

    entering: Array
    shares: Array
    gradient: Array


def follow(
    outline: Sequence[Operation],
    setting: Setting,
    positions: tuple[int, ...],
    input_mean_square: ArrayLike,
    input_shared: float,
) -> Blocks:
    """The blocks of an outline (``training.outline``). Raises Beyond.

    positions: (H, W) of images, () of features; input_mean_square: of each example [E], or of each
    position [H * W]; input_shared: mean product of two examples.
    """
    start = np.atleast_1d(np.asarray(input_mean_square, dtype=float))[None]
    signal = Signal(np.ones(1), start, np.array([input_shared]), positions)
    first = next(i for i, (name, *_) in enumerate(outline) if name == "block")
    signal, _ = run(outline[:1], signal, replace(setting, centered_weights=False))
    signal = replace(signal, start=float((signal.q.mean(1) - signal.c)[0]))
    signal, _ = run(outline[1:first], signal, setting)
    blocks = [values[0] for name, *values in outline if name == "block"]
    if any(name == "act" for block in blocks for name, *_ in block["after"]):
        return _rectified(blocks, signal, setting)
    signal, _ = settled(signal)
    entering, shares, ways = [], [], []
    for block in blocks:
        entering.append(float(signal.square.mean()))
        signal, share, gradient_of = _block(block, signal, setting)
        shares.append(share)
        ways.append(gradient_of)
    gradient = signal.share[:, None] * np.ones_like(signal.q)
    logs = np.zeros(len(ways) + 1)
    for number in range(len(ways) - 1, -1, -1):
        gradient = ways[number](gradient)
        total = float(gradient.sum())
        if not total > 0:
            raise Beyond("the gradient does not reach the input")
        logs[number] = logs[number + 1] + np.log(total)
        gradient = gradient / total
    logs = logs[:-1] - logs[-2]
    return Blocks(np.array(entering), np.array(shares), np.exp(np.minimum(logs, 700)))


def _block(
    block: dict[str, Any], signal: Signal, setting: Setting
) -> tuple[Signal, float, Callable[[Array], Array]]:
    """What leaves a block, its identity share, and its gradient by what enters of that by what
    leaves."""
    inner, before = run(block["before"], signal, setting)
    branch, through = run(block["branch"] + block["end"], inner, setting)
    branch, end = settled(branch)
    through += end
    skip, beside = signal, None
    if block["skip"] is not None:
        skip, beside = run(block["skip"], inner, setting)
        skip, end = settled(skip)
        beside += end
    scale, skip_scale = block["scale"] ** 2, block["skip_scale"] ** 2
    kept, added = skip_scale * skip.q, scale * branch.q
    share = float((skip.share @ kept).mean() / (skip.share @ (kept + added)).mean())
    total = Signal(
        skip.share,
        kept + added,
        skip_scale * skip.c + scale * branch.c,
        branch.shape,
        start=skip_scale * skip.start,
    )
    total, after = run(block["after"], total, setting)
    total, end = settled(total)
    after += end

    def gradient(above: Array) -> Array:
        at_sum = back(after, above)
        inside = scale * back(through, at_sum)
        if beside is None:
            return back(before, inside) + skip_scale * at_sum
        return back(before, inside + skip_scale * back(beside, at_sum))

    return total, share, gradient


# --- the activation behind the sum ---


@dataclass(frozen=True)
class _Class:
    """Features of one distribution: their share, and values [n] with probabilities [n]."""

    share: float
    values: Array
    weights: Array

    def mean(self, of: Callable[[Array], Array]) -> float:
        """The expectation of a function of a value."""
        return float(self.weights @ of(self.values))


@dataclass(frozen=True)
class _Stream:
    """What enters a block. profile [P]: mean square at each position over that of all; shape: (H,
    W), or () of features."""

    classes: list[_Class]
    profile: Array
    shape: tuple[int, ...]

    @property
    def square(self) -> float:
        return sum(c.share * c.mean(np.square) for c in self.classes)


def _rectified(blocks: Sequence[dict[str, Any]], signal: Signal, setting: Setting) -> Blocks:
    law = setting.law
    if law["mixture"] is not None or (law["statistics"], law["centered"]) == ("batch", False):
        raise Beyond("theory of this norm in residual networks is of the pre-activation order")
    ahead, _ = settled(signal)
    profile = ahead.square / ahead.square.mean() if signal.cells else np.ones(1)
    stream = _Stream([_gaussian(float(signal.q.mean()), signal.pending)], profile, signal.shape)
    steps = []
    for block in blocks:
        step = _rectified_block(block, stream, setting)
        steps.append(step)
        stream = step.leaves
    logs = np.zeros(len(steps) + 1)
    above: Callable[[Array], Array] = np.ones_like
    profile = np.full(stream.profile.shape, 1 / stream.profile.size)
    for number in range(len(steps) - 1, -1, -1):
        at, values, total, profile = steps[number].gradient(above, profile)
        if not total > 0:
            raise Beyond("the gradient does not reach the input")
        logs[number] = logs[number + 1] + np.log(total)
        above = _through(at, values / total)
    logs = logs[:-1] - logs[-2]
    squares = np.array([step.enters.square for step in steps])
    shares = np.array([step.identity_share for step in steps])
    return Blocks(squares, shares, np.exp(np.minimum(logs, 700)))


@dataclass(frozen=True)
class _Step:
    """A block. passes, what the skip multiplies a mean square by; kept, the share of its channels
    that are not new; deviation of what the branch adds; slope, act: the activation behind the sum;
    the ways of the branch and of a skip that mixes; sums: the classes of the sum."""

    enters: _Stream
    leaves: _Stream
    identity_share: float
    passes: float
    kept: float
    deviation: float
    slope: Callable[[Array], Array]
    act: Callable[[Array], Array]
    through: Way
    beside: Way | None
    sums: list[_Class]

    def gradient(
        self, above: Callable[[Array], Array], profile: Array
    ) -> tuple[Array, Array, float, Array]:
        """(values of the stream, squared gradient by what enters at these, its mean, and how it is
        spread over positions), of these by what leaves. profile sums to 1."""

        def at_sum(x: Array) -> Array:
            return self.slope(x) ** 2 * above(self.act(x))

        mean = sum(c.share * c.mean(at_sum) for c in self.sums)
        mixed = back(self.through, mean * profile[None])
        at = np.unique(np.concatenate([c.values for c in self.enters.classes]))
        own, straight = np.zeros_like(at), profile
        if self.beside is not None:
            mixed = mixed + self.passes * back(self.beside, mean * profile[None])
        else:
            z, weight = _nodes()
            own = at_sum(np.sqrt(self.passes) * at[:, None] + self.deviation * z) @ weight
            own *= self.kept * self.passes
            if len(profile) < len(self.enters.profile):
                straight = spread(profile.reshape(self.leaves.shape), *self.enters.shape).ravel()
        kept = sum(
            c.share * float(c.weights @ np.interp(c.values, at, own)) for c in self.enters.classes
        )
        total = kept + float(mixed.sum())
        down = np.zeros_like(self.enters.profile)
        if self.beside is None:
            down = kept * straight
        down = (down + mixed.sum(0)) / total if total > 0 else down
        return at, own + float(mixed.sum()), total, down


def _through(at: Array, values: Array) -> Callable[[Array], Array]:
    return lambda x: np.asarray(np.interp(x, at, values))


def _nodes() -> tuple[Array, Array]:
    z, weight = np.polynomial.hermite_e.hermegauss(48)
    return z, weight / weight.sum()


def _rectified_block(block: dict[str, Any], stream: _Stream, setting: Setting) -> _Step:
    classes, square = stream.classes, stream.square
    mean = sum(c.share * c.mean(lambda x: x) for c in classes)
    # Under batch norm what is added differs from example to example; only the means are shared.
    shared = sum(c.share * c.mean(lambda x: x) ** 2 for c in classes)
    profile = stream.profile[None]
    known = (square * profile, mean * np.sqrt(profile), np.array([shared]))
    inside = Signal(np.ones(1), known[0], known[2], stream.shape, known=known)
    branch, through = run(block["before"] + block["branch"] + block["end"], inside, setting)
    branch, end = settled(branch)
    scale, passes = block["scale"] ** 2, block["skip_scale"] ** 2
    through += [*end, lambda gradient: scale * gradient]
    kept, beside, sums, skips = 1.0, None, classes, square * profile
    if block["skip"] is not None and block["skip"][0][0] == "pad":
        new, stride = block["skip"][0][1:]
        kept = 1 - new
        sums = [replace(c, share=c.share * kept) for c in classes]
        sums.append(_Class(new, np.zeros(1), np.ones(1)))
        skips = kept * skips
        if inside.cells:
            skips = skips.reshape(stream.shape)[::stride, ::stride].reshape(1, -1)
    elif block["skip"] is not None:
        skip, beside = run(block["skip"], inside, setting)
        skip, end = settled(skip)
        beside += end
        sums, skips = [_gaussian(float(skip.q.mean()), None)], skip.q
    summed = passes * skips + scale * branch.q
    added = scale * float(branch.q.mean())
    acts = [functions(values[0]) for name, *values in block["after"] if name == "act"]
    if len(acts) != len(block["after"]) or acts[0] is None:
        raise Beyond("theory of this norm is of its place before the activation")
    act, slope = acts[0]
    z, weight = _nodes()
    deviation = float(np.sqrt(added))
    widened = [
        _Class(
            c.share,
            (np.sqrt(passes) * c.values[:, None] + deviation * z).ravel(),
            (c.weights[:, None] * weight).ravel(),
        )
        for c in sums
    ]
    leaves = _Stream(
        [_compressed(c.share, act(c.values), c.weights) for c in widened],
        (summed / summed.mean()).ravel(),
        branch.shape,
    )
    share = float(passes * skips.mean() / summed.mean())
    return _Step(
        stream, leaves, share, passes, kept, deviation, slope, act, through, beside, widened
    )


def _gaussian(square: float, pending: Any) -> _Class:
    from scipy.special import ndtri  # slow to import

    n = 4 * _ATOMS
    values = np.sqrt(square) * ndtri((np.arange(n) + 0.5) / n)
    if pending is not None:
        values = pending[0](values)
    return _compressed(1.0, values, np.full(n, 1 / n))


def _compressed(share: float, values: Array, weights: Array) -> _Class:
    """So many atoms at the root mean squares of as many parts of equal probability.

    What is exactly zero, behind a rectifier, stays an atom of its own.
    """
    zero = values == 0
    nothing = float(weights[zero].sum())
    order = np.argsort(values[~zero], kind="stable")
    values, weights = values[~zero][order], weights[~zero][order]
    parts = _ATOMS / max(float(weights.sum()), 1e-12)
    atom = np.minimum((np.cumsum(weights) - weights / 2) * parts, _ATOMS - 1).astype(int)
    total = np.bincount(atom, weights, _ATOMS).astype(float)
    used = total > 0
    square = np.bincount(atom, weights * values**2, _ATOMS)[used] / total[used]
    mean = np.bincount(atom, weights * values, _ATOMS)[used]
    atoms, chances = np.sqrt(square) * np.sign(mean), total[used]
    if nothing:
        atoms, chances = np.append(atoms, 0.0), np.append(chances, nothing)
    return _Class(share, atoms, chances)
