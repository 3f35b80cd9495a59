"""No normalization: the control of every comparison."""

from torch import nn

from normbench.norms.base import NORMS, Method, Site


@NORMS.register("none", aliases=("identity",))
class NoNorm(Method):
    """y = x; the network as it is without normalization. x: [N, F] or [N, C, H, W]."""

    statistics = "none"
    centered = False

    def layer(self, site: Site) -> nn.Module:
        return nn.Identity()
