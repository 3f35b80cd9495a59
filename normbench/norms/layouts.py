"""A method's layer where features stand otherwise than on axis 1 of [N, F] or [N, C, H, W]."""

from __future__ import annotations

from torch import Tensor, nn

from normbench.norms.base import NormMethod, NormSlot


class FeaturesFirst(nn.Module):
    """A norm over axis 1 of [N, F] or [N, C, H, W], where features or positions lie otherwise."""

    def __init__(self, norm: nn.Module, feature_dim: int):
        super().__init__()
        self.norm, self.feature_dim = norm, feature_dim

    def forward(self, x: Tensor) -> Tensor:
        first = x.movedim(self.feature_dim, 1).contiguous()
        # One axis of positions becomes two, and three or more become two.
        folded = first.unsqueeze(-1) if x.ndim == 3 else first.flatten(3) if x.ndim > 4 else first
        y: Tensor = self.norm(folded)
        return y.reshape(first.shape).movedim(1, self.feature_dim)


class Rows(nn.Module):
    """A norm of [N, F] that takes every token of [N, ..., F] as an example."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.norm(x.reshape(-1, x.shape[-1]))
        return y.view(x.shape)


def layer_at(method: NormMethod, slot: NormSlot) -> nn.Module:
    """The method's layer for the layout of ``slot``.

    Of tokens each is normalized by itself, as in a transformer; a method that needs positions gets
    those of the sequence.
    """
    if slot.is_tokens and method.problem(slot.of_one_token(), slot.positions) is None:
        layer = method.norm(slot.of_one_token())
        return layer if isinstance(layer, nn.Identity) else Rows(layer)
    layer = method.norm(slot)
    plain = slot.feature_dim == 1 and len(slot.shape) in (1, 3)
    if plain or isinstance(layer, nn.Identity):
        return layer
    return FeaturesFirst(layer, slot.feature_dim)
