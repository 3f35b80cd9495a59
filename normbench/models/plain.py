"""What a norm layer is called in plain PyTorch: the line that one would write without us."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from normbench.norms import NormSlot
from normbench.norms.base import Norm
from normbench.norms.batch import BatchNormLayer
from normbench.norms.group import GroupNormLayer
from normbench.norms.layer import LayerNormLayer, PositionLayerNormLayer
from normbench.norms.layouts import FeaturesFirst, Rows
from normbench.norms.rms import RMSNormLayer

EPS, MOMENTUM = 1e-5, 0.1  # PyTorch's defaults, which need not be written


def plain(layer: nn.Module, slot: NormSlot) -> str | None:
    """``nn.GroupNorm(8, 64)``: what computes the same as ``layer`` at ``slot``.

    " on ..." follows where the input must be seen otherwise. None where PyTorch has no such layer.
    """
    if isinstance(layer, nn.Identity) or type(layer).__name__ == "_Copy":
        return "nn.Identity()"
    if type(layer).__module__.startswith("torch.nn."):
        return _of_pytorch(layer)
    inner = layer.norm if isinstance(layer, Rows | FeaturesFirst) else layer
    rows = isinstance(layer, Rows)
    text = _of_ours(inner, 1 if rows else len(slot.shape), slot)
    if text is None or (rows and isinstance(inner, LayerNormLayer | RMSNormLayer)):
        return text
    if rows:
        return f"{text} on x.flatten(0, -2)"
    if slot.feature_dim == -1 and " on " not in text:
        return f"{text} on x.movedim(-1, 1)"
    return text


def _of_ours(layer: nn.Module, axes: int, slot: NormSlot) -> str | None:
    """axes: of one example as the layer sees it."""
    if not isinstance(layer, Norm):
        return None
    features, affine = layer.features, layer.weight is not None
    common: dict[str, Any] = {"eps": _unless(layer.eps, EPS)}
    if isinstance(layer, BatchNormLayer):
        kind = {1: "1d", 2: "1d", 3: "2d", 4: "3d"}.get(axes)
        more = {"momentum": _unless(layer.momentum, MOMENTUM), "affine": _unless(affine, True)}
        return None if kind is None else _call(f"BatchNorm{kind}", features, **common, **more)
    if isinstance(layer, GroupNormLayer):
        return _call("GroupNorm", layer.groups, features, **common, affine=_unless(affine, True))
    own = {"elementwise_affine": _unless(affine, True)}
    by_position = " on x.movedim(1, -1)"
    if isinstance(layer, LayerNormLayer):
        if axes == 1:
            return _call("LayerNorm", features, **common, **own)
        return _call("GroupNorm", 1, features, **common, affine=_unless(affine, True))
    if isinstance(layer, PositionLayerNormLayer):
        return _call("LayerNorm", features, **common, **own) + by_position
    if isinstance(layer, RMSNormLayer):
        # PyTorch's has another eps unless one is given.
        if layer.dims == (1,):
            text = _call("RMSNorm", features, eps=layer.eps, **own)
            return text if axes == 1 else text + by_position
        if not affine:  # its scale would be one an element, and not one a channel
            return _call("RMSNorm", slot.shape, eps=layer.eps, **own)
    return None


def _of_pytorch(layer: Any) -> str:
    kind = type(layer).__name__
    eps = _unless(getattr(layer, "eps", None), None if isinstance(layer, nn.RMSNorm) else EPS)
    if isinstance(layer, _NormBase):
        usual = not isinstance(layer, nn.modules.instancenorm._InstanceNorm)
        return _call(
            kind,
            layer.num_features,
            eps=eps,
            momentum=_unless(layer.momentum, MOMENTUM),
            affine=_unless(layer.affine, usual),
            track_running_stats=_unless(layer.track_running_stats, usual),
        )
    if isinstance(layer, nn.GroupNorm):
        affine = _unless(layer.affine, True)
        return _call(kind, layer.num_groups, layer.num_channels, eps=eps, affine=affine)
    if isinstance(layer, nn.LayerNorm | nn.RMSNorm):
        shape = tuple(layer.normalized_shape)
        size = shape[0] if len(shape) == 1 else shape
        return _call(
            kind, size, eps=eps, elementwise_affine=_unless(layer.elementwise_affine, True)
        )
    return f"nn.{layer}".replace("\n", " ")


_USUAL = object()


def _unless(value: Any, usual: Any) -> Any:
    return _USUAL if value == usual else value


def _call(kind: str, *args: Any, **keywords: Any) -> str:
    given = [str(arg) for arg in args]
    given += [f"{key}={value}" for key, value in keywords.items() if value is not _USUAL]
    return f"nn.{kind}({', '.join(given)})"
