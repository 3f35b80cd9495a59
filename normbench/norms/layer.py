"""Layer normalization: statistics of one example across its features."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from normbench.norms.base import (
    NORMS,
    Axes,
    Floats,
    Norm,
    NormMethod,
    NormSlot,
    Traits,
    channels_first,
    channels_last,
)
from normbench.norms.kernels import group_norm, layer_norm
from normbench.norms.reference import affine, centred, divided, everything


class LayerNormLayer(Norm):
    """Layer norm over the features of [N, F], or over C,H,W of [N, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim == 2:
            return layer_norm(x, self.weight, self.bias, self.eps)
        # One group of all channels is layer norm over C,H,W with an affine per channel.
        return group_norm(x, 1, self.weight, self.bias, self.eps)


class PositionLayerNormLayer(Norm):
    """Layer norm over the channels at each position of [N, C, H, W]."""

    def forward(self, x: Tensor) -> Tensor:
        return channels_first(layer_norm(channels_last(x), self.weight, self.bias, self.eps))


@NORMS.register("layer", aliases=("layernorm", "ln"))
class LayerNorm(NormMethod):
    """y = (x - mean) / sqrt(var + eps) * gamma + beta, over the features of one example.

    x: [N, F], statistics over F; or [N, C, H, W], over C,H,W (axes: chw) or over C at each
    position (axes: c). gamma, beta: [F] or [C]. Ba, Kiros & Hinton 2016, arXiv:1607.06450.
    """

    @dataclass(frozen=True)
    class Options:
        """axes: chw or c, for this norm only; None follows the experiment's policy."""

        axes: Axes | None = None

    traits = Traits(
        statistics="example",
        centered=True,
        formula="(x - mean) / sqrt(var + eps) * gamma + beta, over the features of one example",
        year=2016,
        paper="Ba, Kiros & Hinton, arXiv:1607.06450",
        train_differs=False,
        convention="eps inside the root; biased variance; affine per feature or channel",
        reference="torch.nn.LayerNorm: equal at equal eps, less its affine per position of images",
    )

    def norm(self, slot: NormSlot) -> nn.Module:
        by_position = slot.has_positions and self.axes(slot) == "c"
        kind = PositionLayerNormLayer if by_position else LayerNormLayer
        return kind(slot, self.policy)

    def reference(
        self, slot: NormSlot, x: Floats, values: Mapping[str, Floats], *, training: bool = True
    ) -> Floats:
        over = everything(x, self.axes(slot))
        return affine(divided(centred(x, over), over, self.policy.eps), values)
