"""What a method tells theory of the layer that stands in a norm's place, at step 0.

Plain numbers and names, so that a run's record holds them; ``analysis`` makes a map of them that
Gaussian pre-activations pass through. Theory is of wide layers, whose pre-activations are Gaussian
over features: z_i = sqrt(c) s + sqrt(q - c) e_i for example i, with a part s that all examples of
a batch share.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from normbench.norms.traits import Statistics

Gate = tuple[Literal["tanh", "erf", "isru", "silu"], float, float]
"""(f, inner, outer): the function outer * f(inner * x)."""


@dataclass(frozen=True)
class Law:
    """A norm layer as theory takes it: y = gate((x - mean) / root mean square).

    statistics: what the mean square that it divides by is taken over; centered: whether the mean
    over the same is subtracted first; size: values behind one statistic where they are others than
    the batch, or an example's as ``NormMethod.group_size`` tells (a ghost batch; a part of the
    features, ``partial``). mixture: of a norm that mixes statistics, how much it subtracts of the
    batch's and of an example's mean, and how much of its divisor is the variance over the batch and
    that of an example; the other fields are then not looked at. gate: applied to each number of
    what comes out, or with ``raw`` to what goes in, before it is divided.
    """

    statistics: Statistics
    centered: bool
    size: int | None = None
    partial: bool = False
    mixture: tuple[float, float, float, float] | None = None
    gate: Gate | None = None
    raw: bool = False
