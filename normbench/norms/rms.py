"""Root mean square normalization: rescaling without re-centring."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from normbench.norms.base import NORMS, Axes, Floats, Norm, NormMethod, NormPolicy, NormSlot, Traits
from normbench.norms.kernels import rms_norm
from normbench.norms.reference import affine, divided, everything


class RMSNormLayer(Norm):
    """RMS norm over the features of [N, F], or over C,H,W (or C) of [N, C, H, W]."""

    def __init__(self, slot: NormSlot, policy: NormPolicy, dims: tuple[int, ...]):
        super().__init__(slot, policy, shift=False)
        self.dims = dims

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, self.eps, self.dims)


@NORMS.register("rms", aliases=("rmsnorm",))
class RMSNorm(NormMethod):
    """y = x / sqrt(mean(x^2) + eps) * gamma, over the features of one example.

    x: [N, F], the mean over F; or [N, C, H, W], over C,H,W (axes: chw) or over C at each position
    (axes: c). gamma: [F] or [C]; no shift. Zhang & Sennrich 2019, arXiv:1910.07467.
    """

    @dataclass(frozen=True)
    class Options:
        """axes: chw or c, for this norm only; None follows the experiment's policy."""

        axes: Axes | None = None

    traits = Traits(
        statistics="example",
        centered=False,
        formula="x / sqrt(mean(x^2) + eps) * gamma, over the features of one example",
        year=2019,
        paper="Zhang & Sennrich, arXiv:1910.07467",
        train_differs=False,
        convention="eps inside the root; no shift",
        reference="bzhangGo/rmsnorm: its torch file adds eps outside the root, its TensorFlow file "
        "inside; torch.nn.RMSNorm: equal at equal eps",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        whole = slot.has_positions and self.axes(slot) == "chw"
        return RMSNormLayer(slot, self.policy, (1, 2, 3) if whole else (1,))

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        over = everything(x, self.axes(slot))
        return affine(divided(x, over, self.policy.eps), values)
