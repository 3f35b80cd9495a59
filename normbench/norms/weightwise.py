"""What methods of weights share: no norm where one stood, and statistics by output."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from normbench.norms.base import Floats, NormMethod, NormSlot
from normbench.norms.laws import Law


class WeightMethod(NormMethod):
    """A method of the weights of Linear and Conv layers, with no norm beside it."""

    replaces = frozenset({"norm", "weight"})

    def norm(self, slot: NormSlot) -> nn.Module:
        return nn.Identity()

    def law(self, slot: NormSlot) -> Law | str:
        return Law("none", centered=False)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        return x


def inputs_of(w: Tensor) -> tuple[int, ...]:
    """The axes of a weight [out, in, ...] that are of one output."""
    return tuple(range(1, w.ndim))


def by_output(w: Tensor) -> tuple[int, ...]:
    """The shape of one number an output, against w."""
    return (len(w), *[1] * (w.ndim - 1))
