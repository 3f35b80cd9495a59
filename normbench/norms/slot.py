"""A place for a norm in a network, and the policy that every norm of an experiment shares."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Literal

Axes = Literal["chw", "c"]


@dataclass(frozen=True)
class NormPolicy:
    """The policy that every norm of an experiment shares; there are no per-layer defaults.

    eps: added to the (mean) square before the root; affine: learn a scale (and, where the method
    has one, a shift) per feature or channel; momentum: weight of the newest batch in running
    statistics; axes: what one example's statistics on images run over, all of C,H,W or only C.
    """

    eps: float = 1e-5
    affine: bool = True
    momentum: float = 0.1
    axes: Axes = "chw"


@dataclass(frozen=True)
class NormSlot:
    """A place for a norm in a network, found by a forward pass (``models/slots``).

    path: its address; features: how many are normalized each by itself; shape: of one example
    there, (F,), (C, H, W) or (L, C); feature_dim: where the features stand in [N, *shape], 1 or -1;
    producer: path of the Linear or Conv whose output enters, None where something else does;
    activation: path of the module that follows, None where a function or nothing does; branch: path
    of the residual block it is part of; calls: in one forward pass; default: the norm that the
    architecture's authors put there, of a placeholder.
    """

    path: str
    features: int
    shape: tuple[int, ...]
    feature_dim: int = 1
    producer: str | None = None
    activation: str | None = None
    branch: str | None = None
    calls: int = 1
    default: str | None = None

    @classmethod
    def of(cls, *shape: int) -> NormSlot:
        """A slot for [N, F] or [N, C, *positions], of no network: for a layer by itself."""
        return cls("norm", shape[0], shape)

    @property
    def positions(self) -> int:
        """Positions of each feature in one example: H*W, L; 1 for [N, F]."""
        return math.prod(self.shape) // self.features

    @property
    def has_positions(self) -> bool:
        """Whether an example is more than a vector of features."""
        return len(self.shape) > 1

    @property
    def layer_shape(self) -> tuple[int, ...]:
        """One example as a method's layer sees it: (F,) or (C, H, W)."""
        if not self.has_positions:
            return self.shape
        rest = self.shape[1:] if self.feature_dim == 1 else self.shape[:-1]
        return self.features, rest[0], math.prod(rest[1:])

    def of_one_token(self) -> NormSlot:
        """The same place, seen from a single token."""
        return dataclasses.replace(self, shape=(self.features,), feature_dim=1)

    @property
    def is_tokens(self) -> bool:
        """Whether the features stand last, as in a sequence of tokens [N, L, C]."""
        return self.has_positions and self.feature_dim == -1
