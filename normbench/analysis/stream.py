"""Signals on their way through the operations of an outline (``training.outline``), and back.

Pre-activations are Gaussian, of a mean square an example and a mean product of two (see
``analysis.maps``). Features may be of several classes: those that a widening shortcut fills with
zeros, and the others. Arrays are [K, E], classes and cells: the examples of a flat network, the
positions of images (zero padding makes them differ), whose examples are taken to be alike; or one
cell, the mean of all positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from normbench.analysis.activations import Pair, composed, functions, gate
from normbench.analysis.maps import by_feature, product
from normbench.analysis.padding import box, spread
from normbench.analysis.quadrature import gaussian

Array = NDArray[np.float64]
Operation = Sequence[Any]
Way = list[Callable[[Array], Array]]
"""What squared gradients [K, E] meet, in the order of the forward pass."""


class Beyond(Exception):
    """What theory does not cover; the message is the reason."""


@dataclass(frozen=True)
class Setting:
    """What all operations share.

    law: of the norms; batch: values behind a statistic of one position of the batch;
    centered_weights: each output's weights sum to zero; roughness: 1 over the effective rank of
    the network's input over the batch, which the batch's variance of a feature varies by; eps:
    beside a variance; by_position: an example's norm has statistics of each position.
    """

    law: dict[str, Any]
    batch: int
    centered_weights: bool = False
    roughness: float = 0.0
    eps: float = 0.0
    by_position: bool = False


@dataclass(frozen=True)
class Signal:
    """share [K]: of the features; q [K, E]: mean squares; c [K]: mean products of two examples,
    ``spread`` their standard deviation over pairs, as a correlation; shape: of an example, (F,) or
    (C, H, W), without the features; pending: a function still to be applied; each: every feature
    is to be divided by its own root mean square in the batch before; start: how much of q - c is
    still the network's input's; known: (square [K, E], mean [K, E], product [K]) of values that are
    not Gaussian.
    """

    share: Array
    q: Array
    c: Array
    shape: tuple[int, ...] = ()
    pending: Pair | None = None
    each: bool = False
    start: float = 0.0
    spread: float = 0.0
    known: tuple[Array, Array, Array] | None = None

    @property
    def square(self) -> Array:
        """Mean square over the features. [E]"""
        return self.share @ self.q

    @property
    def cells(self) -> tuple[int, ...]:
        """(H, W) where the cells are positions."""
        many = self.known[0] if self.known is not None else self.q
        return self.shape if self.shape and many.shape[1] > 1 else ()


def back(way: Way, gradient: Array) -> Array:
    """The squared gradient by what entered, of that by what came out."""
    for step in reversed(way):
        gradient = step(gradient)
    return gradient


def run(operations: Sequence[Operation], signal: Signal, setting: Setting) -> tuple[Signal, Way]:
    """A signal through operations other than blocks. Raises Beyond."""
    way: Way = []
    for name, *values in operations:
        if name in ("linear", "conv"):
            signal, steps = _weights(signal, setting, *values)
        elif name == "norm":
            signal, steps = _norm(signal, setting)
        elif name == "act":
            act = functions(values[0])
            if act is None:
                raise Beyond(f"theory does not know the activation {values[0]}")
            signal, steps = replace(signal, pending=_then(signal.pending, act)), []
        elif name == "scale":
            signal, steps = _scaled(signal, values[0])
        else:
            signal, steps = _padded(signal, *values)
        way += steps
    return signal, way


def settled(signal: Signal) -> tuple[Signal, Way]:
    """The signal with nothing pending; what is not Gaussian is taken for it from here on."""
    if signal.pending is None and not signal.each and signal.known is None:
        return signal, []
    square, _, shared, slope = moments(signal)
    done = Signal(signal.share, square, shared, signal.shape)
    return done, [_times(slope)]


def moments(signal: Signal) -> tuple[Array, Array, Array, Array]:
    """(mean square [K, E], mean over features [K, E], mean product [K], squared slope [K, E])."""
    if signal.known is not None:
        square, mean, shared = signal.known
        return square, mean, shared, np.ones_like(square)
    act = signal.pending or functions("identity")
    assert act is not None
    if signal.each:
        features = [
            by_feature(float(q.mean()), float(c), act)
            for q, c in zip(signal.q, signal.c, strict=True)
        ]
        if any(f is None for f in features):
            raise Beyond("the map of a layer has no finite value")
        flat = np.ones_like(signal.q)
        columns = [(f.square, f.mean, f.shared, f.slope) for f in features if f is not None]
        square, mean, shared, slope = (np.array(v)[:, None] for v in zip(*columns, strict=True))
        return square * flat, mean * flat, shared[:, 0], slope * flat
    z, weight = gaussian()
    at = np.sqrt(signal.q)[..., None] * z
    values = act[0](at)
    shared = np.array(
        [_product(float(q.mean()), float(c), signal.spread, act)
         for q, c in zip(signal.q, signal.c, strict=True)]
    )  # fmt: skip
    return values**2 @ weight, values @ weight, shared, act[1](at) ** 2 @ weight


def _product(q: float, c: float, spread: float, act: Pair) -> float:
    """Over pairs of examples whose correlations differ by ``spread``."""
    if spread < 1e-3:
        return product(q, c, act)
    ends = (min(c / q + spread, 1.0) * q, max(c / q - spread, -1.0) * q)
    return (product(q, ends[0], act) + product(q, ends[1], act)) / 2


def _times(factor: Array | float) -> Callable[[Array], Array]:
    return lambda gradient: gradient * factor


def _then(first: Pair | None, then: Pair) -> Pair:
    return then if first is None else composed(first, then)


@lru_cache(maxsize=256)
def _factor(value: float) -> Pair:
    return lambda x: value * x, lambda x: np.full_like(x, value)


def _scaled(signal: Signal, factor: float) -> tuple[Signal, Way]:
    if signal.pending is not None or signal.each or signal.known is not None:
        if signal.known is not None:
            square, mean, shared = signal.known
            known = (square * factor**2, mean * factor, shared * factor**2)
            return replace(signal, known=known), [_times(factor**2)]
        return replace(signal, pending=_then(signal.pending, _factor(factor))), []
    return (
        replace(
            signal,
            q=signal.q * factor**2,
            c=signal.c * factor**2,
            start=signal.start * factor**2,
        ),
        [_times(factor**2)],
    )


def _weights(
    signal: Signal, setting: Setting, gain: float, bias: float, kernel: int = 1, stride: int = 1
) -> tuple[Signal, Way]:
    square, mean, shared, slope = moments(signal)
    share, shape, cells = signal.share, signal.shape, signal.cells
    below, mean = share @ square, share @ mean
    alike = 1.0  # of what examples share, at any two positions
    if shape:
        inside = [_inside(n, kernel)[:, ::stride] for n in shape]
        alike = float(np.prod([(taps.mean(1) ** 2).mean() for taps in inside]))
        shape = tuple(taps.shape[1] for taps in inside)
        if not cells:
            below = below * float(np.prod([taps.mean() for taps in inside]))
    if cells:
        below, mean = (_box(v.reshape(cells), kernel)[::stride, ::stride].ravel()
                       for v in (below, mean))  # fmt: skip
    taken = mean**2 * setting.centered_weights
    q = gain * (below - taken)[None] + bias
    c = gain * (alike * float(share @ shared) - float(taken.mean())) + bias
    mixed = below.mean() / (share @ square).mean() if shape and not cells else 1.0

    def down(gradient: Array) -> Array:
        total = gradient.sum(0)
        if cells:
            total = _box(spread(total.reshape(shape), *cells), kernel).ravel()
        return share[:, None] * (gain * mixed) * total

    return Signal(np.ones(1), q, np.array([c]), shape), [_times(slope), down]


def _box(values: Array, kernel: int) -> Array:
    """The mean over the kernel around each position, zeros beyond the border."""
    if kernel == 3:
        return box(values)
    if kernel == 1:
        return values
    raise Beyond(f"theory knows kernels of 1 and 3, and not of {kernel}")


def _inside(size: int, kernel: int) -> Array:
    """Whether the input of each tap [k] lies inside at each position [n] of one axis. [k, n]"""
    at = np.arange(size)[None] + np.arange(kernel)[:, None] - kernel // 2
    return ((at >= 0) & (at < size)).astype(float)


def _padded(signal: Signal, new: float, stride: int) -> tuple[Signal, Way]:
    """So much of the features is new, and zero; every stride-th position is left."""
    signal, way = settled(signal)
    classes, cells = len(signal.share), signal.cells
    share = np.append(signal.share * (1 - new), new)
    q, shape = signal.q, tuple(-(-n // stride) for n in signal.shape)
    if cells:
        q = q.reshape(-1, *cells)[:, ::stride, ::stride].reshape(classes, -1)
    q = np.vstack([q, np.zeros((1, q.shape[1]))])
    wider = Signal(share, q, np.append(signal.c, 0.0), shape, start=0.0)

    def down(gradient: Array) -> Array:
        kept = gradient[:classes]
        if not cells:
            return kept
        return np.array([spread(g.reshape(shape), *cells).ravel() for g in kept])

    return wider, [*way, down]


def _norm(signal: Signal, setting: Setting) -> tuple[Signal, Way]:
    law = setting.law
    dividing = law["mixture"] is not None or law["statistics"] != "none"
    if law["raw"] or law["partial"]:
        raise Beyond("theory of this norm is of plain fully connected networks")
    if dividing and (signal.pending is not None or signal.known is not None):
        raise Beyond("theory of this norm is of its place before the activation")
    way: Way = []
    if law["mixture"] is not None:
        signal, way = _mixed(signal, law["mixture"], setting.eps)
    elif law["statistics"] == "example":
        square = signal.square + setting.eps
        if signal.cells and not setting.by_position:
            square = np.full_like(square, square.mean())
        signal = replace(signal, q=signal.q / square, c=signal.c / float(square.mean()))
        way = [_times(1 / square)]
    elif law["statistics"] == "batch" and not law["centered"]:
        signal = replace(signal, each=True)
    elif law["statistics"] == "batch":
        signal, way = _over_batch(signal, setting)
    if law["gate"] is not None:
        signal = replace(signal, pending=_then(signal.pending, gate(*law["gate"])))
    return replace(signal, start=0.0), way


def _apart(signal: Signal) -> Array:
    """Mean square of what an example does not share with the batch, [K, E]; in the mean q - c.

    What an example shares with the batch's mean goes with the root of its own mean square; what a
    position does goes with its mean square, since both lose the taps beyond the border.
    """
    c = np.maximum(signal.c, 0.0)[:, None]
    mean = signal.q.mean(1, keepdims=True)
    relative = np.divide(signal.q, mean, out=np.ones_like(signal.q), where=mean > 0)
    if not signal.cells:
        relative = np.sqrt(relative)
        relative /= relative.mean(1, keepdims=True)
    return np.maximum(signal.q + c - 2 * c * relative, 0.0)


def _over_batch(signal: Signal, setting: Setting) -> tuple[Signal, Way]:
    size = min(setting.batch, setting.law["size"] or setting.batch)
    own = _apart(signal)
    variance = own.mean(1) + setting.eps  # [K]
    if not (variance > 0).all():
        raise Beyond("a norm over the batch meets features that are the same for all examples")
    # The variance of a feature over the batch varies as chi^2 / n of as many degrees of freedom as
    # the examples have: few where the stream is still the input, else all.
    old, least = signal.start / variance, 1 / max(size - 1, 1)
    rough = old**2 * max(setting.roughness, least) + (1 - old**2) * least
    inverse = 1 / (1 - 2 * np.minimum(rough, 0.25)) * (1 - 2 / size)
    spread = float(np.sqrt(np.clip(rough - least, 0, 0.8)).max())
    normal = replace(signal, q=own / variance[:, None], c=np.zeros_like(signal.c), spread=spread)
    return normal, [_times((inverse / variance)[:, None])]


def _mixed(signal: Signal, mixture: Sequence[float], eps: float) -> tuple[Signal, Way]:
    of_batch, _, by_batch, by_example = mixture
    c, own = np.maximum(signal.c, 0.0)[:, None], _apart(signal)
    left = (1 - of_batch) ** 2 * c + (1 - of_batch) * (signal.q - own - c)
    variance = own.mean(1, keepdims=True)
    divides = by_batch or by_example
    divisor = (
        by_batch * variance + by_example * signal.square + eps if divides else np.ones_like(own)
    )
    if not (divisor > 0).all():
        raise Beyond("a norm over the batch meets features that are the same for all examples")
    normalized = replace(signal, q=(own + left) / divisor, c=(left / divisor).mean(1))
    return normalized, [_times(1 / divisor)]
