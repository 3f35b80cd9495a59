"""Root mean square normalization: rescaling without re-centring."""

from dataclasses import dataclass

from torch import Tensor, nn

from normbench.norms.base import NORMS, Axes, Method, Norm, NormPolicy, Site
from normbench.norms.kernels import rms_norm


class RMSNormLayer(Norm):
    """RMS norm over the features of [N, F], or over C,H,W (or C) of [N, C, H, W]."""

    def __init__(self, site: Site, policy: NormPolicy, dims: tuple[int, ...]):
        super().__init__(site, policy, shift=False)
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps, self.dims)


@NORMS.register("rms", aliases=("rmsnorm",))
class RMSNorm(Method):
    """y = x / sqrt(mean(x^2) + eps) * gamma, over the features of one example.

    x: [N, F], the mean over F; or [N, C, H, W], over C,H,W (axes: chw) or over C at each position
    (axes: c). gamma: [F] or [C]; no shift. Zhang & Sennrich 2019, arXiv:1910.07467.
    """

    @dataclass(frozen=True)
    class Options:
        """axes: chw or c, for this norm only; None follows the experiment's policy."""

        axes: Axes | None = None

    statistics = "example"
    centered = False

    def layer(self, site: Site) -> nn.Module:
        axes = self.options.axes or self.policy.axes
        dims = (1,) if not site.spatial or axes == "c" else (1, 2, 3)
        return RMSNormLayer(site, self.policy, dims)

    def group_size(self, site: Site) -> int:
        axes = self.options.axes or self.policy.axes
        return site.features * (site.positions if axes == "chw" else 1)
