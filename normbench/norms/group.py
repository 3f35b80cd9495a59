"""Group and instance normalization: statistics of one example, by channels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn

from normbench.norms.base import NORMS, Floats, Norm, NormMethod, NormPolicy, NormSlot, Traits
from normbench.norms.kernels import group_norm
from normbench.norms.reference import affine, centred, divided, in_groups, positions


class GroupNormLayer(Norm):
    """Group norm: channels in ``groups`` equal groups, statistics per example and group."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, groups: int):
        super().__init__(slot, policy)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return group_norm(x, self.groups, self.weight, self.bias, self.eps)


@NORMS.register("group", aliases=("groupnorm", "gn"))
class GroupNorm(NormMethod):
    """y = (x - mean) / sqrt(var + eps) * gamma + beta, over a group of channels of one example.

    x: [N, F], statistics over F/groups features; or [N, C, H, W], over C/groups channels and all
    positions. gamma, beta: [F] or [C]. Wu & He 2018, arXiv:1803.08494.
    """

    @dataclass(frozen=True)
    class Options:
        """groups: how many equal groups the channels are split into."""

        groups: Annotated[int, Ge(1)] = 8

    traits = Traits(
        statistics="example",
        centered=True,
        formula="(x - mean) / sqrt(var + eps) * gamma + beta, over a group of channels",
        year=2018,
        paper="Wu & He, arXiv:1803.08494",
        train_differs=False,
        convention="eps inside the root; biased variance; affine per channel",
        reference="torch.nn.GroupNorm: equal at equal eps and groups",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        return GroupNormLayer(slot, self.policy, self.options.groups)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        split = in_groups(x, self.options.groups)
        y = divided(centred(split, (2,)), (2,), self.policy.eps)
        return affine(y.reshape(x.shape), values)

    def group_size(self, slot: NormSlot) -> int:
        return slot.features // self.options.groups * slot.positions

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        groups = self.options.groups
        if slot.features % groups:
            return f"{groups} groups do not divide {slot.features} channels evenly"
        if slot.features // groups * slot.positions == 1:
            return (
                f"{groups} groups of {slot.features} features leave one value a group, which "
                "normalizes to zero"
            )
        return None


@NORMS.register("instance", aliases=("instancenorm", "in"))
class InstanceNorm(NormMethod):
    """y = (x - mean) / sqrt(var + eps) * gamma + beta, over H,W of each channel of one example.

    x: [N, C, H, W]; gamma, beta: [C]. No running statistics: training and evaluation agree.
    Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022.
    """

    traits = Traits(
        statistics="example",
        centered=True,
        formula="(x - mean) / sqrt(var + eps) * gamma + beta, over the positions of a channel",
        year=2016,
        paper="Ulyanov, Vedaldi & Lempitsky, arXiv:1607.08022",
        train_differs=False,
        convention="eps inside the root; biased variance; no running statistics",
        reference="torch.nn.InstanceNorm2d(affine=True): equal at equal eps",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        # Instance norm is group norm with one channel a group.
        return GroupNormLayer(slot, self.policy, slot.features)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        over = positions(x)
        return affine(divided(centred(x, over), over, self.policy.eps), values)

    def group_size(self, slot: NormSlot) -> int:
        return slot.positions

    def problem(self, slot: NormSlot, batch_size: int) -> str | None:
        if not slot.has_positions:
            return (
                "instance norm takes its statistics over the positions of an image; features of "
                "an MLP have none (use layer or rms, or a CNN)"
            )
        if slot.positions == 1:
            return "instance norm meets images of one position, which it normalizes to zero"
        return None
