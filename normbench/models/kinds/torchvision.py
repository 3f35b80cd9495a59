"""The classification networks of torchvision, without their pretrained weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from normbench.errors import suggest
from normbench.models.base import MODELS, ImageShape
from normbench.models.foreign import Foreign, ForeignOptions, adapted_to_channels
from normbench.vision import torchvision


@MODELS.register("torchvision")
class Torchvision(Foreign):
    """A network of torchvision by name, its head for the classes of the data.

    The first convolution takes as many channels as the images have.
    """

    @dataclass(frozen=True)
    class Options(ForeignOptions):
        """name: as in torchvision.models.list_models; the others as for a module of one's own."""

        name: str = "resnet18"

    @classmethod
    def make(cls, options: Any, num_classes: int, image_shape: ImageShape) -> nn.Module:
        models = torchvision().models
        if options.name not in models.list_models(module=models):
            known = suggest(options.name, models.list_models(module=models))
            raise ValueError(f"torchvision has no model {options.name!r}; {known}")
        given = {"weights": None, "num_classes": num_classes}
        if options.name in ("googlenet", "inception_v3"):
            given["init_weights"] = True  # or it warns, and takes half a minute
        module = models.get_model(options.name, **{**given, **options.args})
        return adapted_to_channels(module, image_shape[2])
