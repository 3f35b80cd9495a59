"""Group and instance normalization: statistics of one example, by channels."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor, nn

from normbench.norms.base import NORMS, Method, Norm, NormPolicy, Site
from normbench.norms.kernels import group_norm


class GroupNormLayer(Norm):
    """Group norm: channels in ``groups`` equal groups, statistics per example and group."""

    def __init__(self, site: Site, policy: NormPolicy, groups: int):
        super().__init__(site, policy)
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        return group_norm(x, self.groups, self.weight, self.bias, self.eps)


@NORMS.register("group", aliases=("groupnorm", "gn"))
class GroupNorm(Method):
    """y = (x - mean) / sqrt(var + eps) * gamma + beta, over a group of channels of one example.

    x: [N, F], statistics over F/groups features; or [N, C, H, W], over C/groups channels and all
    positions. gamma, beta: [F] or [C]. Wu & He 2018, arXiv:1803.08494.
    """

    @dataclass(frozen=True)
    class Options:
        """groups: how many equal groups the channels are split into."""

        groups: Annotated[int, Ge(1)] = 8

    statistics = "example"
    centered = True

    def layer(self, site: Site) -> nn.Module:
        return GroupNormLayer(site, self.policy, self.options.groups)

    def group_size(self, site: Site) -> int:
        return site.features // self.options.groups * site.positions

    def problem(self, site: Site, batch_size: int) -> str | None:
        groups = self.options.groups
        if site.features % groups:
            return f"{groups} groups do not divide {site.features} channels evenly"
        if site.features // groups * site.positions == 1:
            return (
                f"{groups} groups of {site.features} features leave one value a group, which "
                "normalizes to zero"
            )
        return None


@NORMS.register("instance", aliases=("instancenorm", "in"))
class InstanceNorm(Method):
    """y = (x - mean) / sqrt(var + eps) * gamma + beta, over H,W of each channel of one example.

    x: [N, C, H, W]; gamma, beta: [C]. No running statistics: training and evaluation agree.
    Ulyanov, Vedaldi & Lempitsky 2016, arXiv:1607.08022.
    """

    statistics = "example"
    centered = True

    def layer(self, site: Site) -> nn.Module:
        # Instance norm is group norm with one channel a group.
        return GroupNormLayer(site, self.policy, site.features)

    def group_size(self, site: Site) -> int:
        return site.positions

    def problem(self, site: Site, batch_size: int) -> str | None:
        if not site.spatial:
            return (
                "instance norm takes its statistics over the positions of an image; features of "
                "an MLP have none (use layer or rms, or a CNN)"
            )
        if site.positions == 1:
            return "instance norm meets images of one position, which it normalizes to zero"
        return None
