"""What methods of residual blocks share: modules for branches, and the norm that they keep."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from normbench.norms.base import Floats, NormMethod, NormSlot, make_method
from normbench.norms.laws import Law

if TYPE_CHECKING:
    from normbench.models.residual import Residual

PRODUCTS = (nn.Linear, nn.modules.conv._ConvNd)


class Scalar(nn.Module):
    """y = x * multiplier + shift, one number each, or either alone (None).

    factor: what it multiplies by at the start, for theory; so in all modules that only do that.
    """

    def __init__(self, multiplier: float | None = None, shift: float | None = None):
        super().__init__()
        self.factor = 1.0 if multiplier is None else multiplier
        self.multiplier = None if multiplier is None else nn.Parameter(torch.tensor(multiplier))
        self.shift = None if shift is None else nn.Parameter(torch.tensor(shift))

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.multiplier is None else x * self.multiplier
        return (y if self.shift is None else y + self.shift).to(x.dtype)


class Times(nn.Module):
    """y = x times a number that is not learned."""

    def __init__(self, factor: float):
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor

    def extra_repr(self) -> str:
        return f"{self.factor:.6g}"


def behind(first: nn.Module, then: nn.Module) -> nn.Module:
    """``first`` and ``then``, one after the other. The parts of a chain keep their addresses."""
    if isinstance(first, nn.Identity):
        return then
    if type(first) is nn.Sequential:
        parts = dict(first.named_children())
        return nn.Sequential(OrderedDict(**parts, **{f"then{len(parts)}": then}))
    return nn.Sequential(first, then)


class BranchMethod(NormMethod):
    """A method of residual branches that takes the norms away."""

    replaces = frozenset({"norm", "residual"})

    def norm(self, slot: NormSlot) -> nn.Module:
        return nn.Identity()

    def law(self, slot: NormSlot) -> Law:
        return Law("none", centered=False)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        return x


class PlacementMethod(NormMethod):
    """A method that says where in a residual block its one norm stands, and leaves the norm itself.

    For blocks of one norm, before or behind the branch, as transformers have them.
    """

    @dataclass(frozen=True)
    class Options:
        """norm: the layer that stands at every place, under the experiment's policy."""

        norm: Literal["layer", "rms"] = "layer"

    replaces = frozenset({"norm", "residual"})

    @property
    def inner(self) -> NormMethod:
        """The norm that stands where the method puts it."""
        return make_method(self.options.norm, self.policy)

    def norm(self, slot: NormSlot) -> nn.Module:
        return self.inner.norm(slot)

    def law(self, slot: NormSlot) -> Law | str:
        return self.inner.law(slot)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats | None:
        return self.inner.reference(slot, x, values, training=training)

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        if slot.branch is not None:
            where = slot.path.removeprefix(f"{slot.branch}.")
            if where not in ("before", "after", "branch_end"):
                return (
                    f"it moves the norm of each residual block, and the block {slot.branch} has "
                    f"one at {where}, within others of its parts"
                )
        return self.inner.problem(slot, batch_size)


def to_post(block: Residual) -> None:
    """Norm behind the sum, where it stood before the branch: x -> norm(x + f(x))."""
    if isinstance(block.after, nn.Identity):
        block.before, block.after = nn.Identity(), block.before


def products_of(branch: nn.Module) -> list[nn.Module]:
    """The Linear and Conv layers of a branch, in the order in which they stand."""
    return [part for part in branch.modules() if isinstance(part, PRODUCTS)]


def features_behind(branch: nn.Module, slot: NormSlot) -> int:
    """The features of what a branch gives, of a block with a norm at ``slot``.

    Of tokens it gives as many as it takes; its last product may be one over tokens.
    """
    if slot.is_tokens:
        return slot.features
    return len(products_of(branch)[-1].weight)  # type: ignore[arg-type]
