"""The networks of timm, without their pretrained weights; timm is an extra."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from normbench.models.base import MODELS, ImageShape
from normbench.models.foreign import Foreign, ForeignOptions
from normbench.vision import torchvision


@MODELS.register("timm")
class Timm(Foreign):
    """A network of timm by name, its head for the classes of the data."""

    @dataclass(frozen=True)
    class Options(ForeignOptions):
        """name: as in timm.list_models; the others as for a module of one's own."""

        name: str = "resnet18"

    @classmethod
    def make(cls, options: Any, num_classes: int, image_shape: ImageShape) -> nn.Module:
        torchvision()  # which timm imports, by the door that takes any build of it
        try:
            import timm
        except ModuleNotFoundError:
            raise ValueError("timm is not installed; pip install timm") from None
        if not timm.is_model(options.name):
            near = timm.list_models(f"*{options.name}*")[:10]
            also = f"; near: {', '.join(near)}" if near else ""
            raise ValueError(f"timm has no model {options.name!r}{also}")
        given = {"pretrained": False, "num_classes": num_classes, "in_chans": image_shape[2]}
        return timm.create_model(options.name, **{**given, **options.args})
