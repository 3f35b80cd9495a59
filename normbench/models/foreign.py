"""Networks that others wrote: a module of one's own, torchvision's, timm's.

They are called on normalized float images [N, C, H, W] and give logits [N, classes], or a tuple or
dict that holds them.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from normbench.models.base import MODELS, Architecture, ImageShape, ModelSettings
from normbench.models.trace import NoLogits


@dataclass(frozen=True)
class ForeignOptions:
    """args: for its constructor, beside num_classes; keep: paths of norms to leave as they are;
    output: where in a tuple or dict the logits are; input: image [N, C, H, W] or flat [N, F].
    """

    args: dict[str, Any] = field(default_factory=dict)
    keep: list[str] = field(default_factory=list)
    output: int | str | None = None
    input: Literal["image", "flat"] = "image"


class Foreign(Architecture):
    """A network that is not ours. Subclasses say how to make it."""

    open = True
    Options = ForeignOptions

    @classmethod
    def make(cls, options: Any, num_classes: int, image_shape: ImageShape) -> nn.Module:
        """The module as its author builds it."""
        raise NotImplementedError

    @classmethod
    def build(
        cls, options: Any, settings: ModelSettings, image_shape: ImageShape, num_classes: int
    ) -> nn.Module:
        module = cls.make(options, num_classes, image_shape)
        if not isinstance(module, nn.Module):
            raise TypeError(f"gives {type(module).__name__}, not a torch.nn.Module")
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(
                "gives a module compiled by torch.jit, in which no norm can be exchanged: "
                "give the one that was compiled"
            )
        if options.input == "flat":
            module.register_forward_pre_hook(_flattened)
        module.register_forward_hook(_Logits(options.output))
        return module


def _flattened(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (args[0].flatten(1), *args[1:])


class _Logits:
    """Takes the logits out of what a network returns. In evaluation some return them bare."""

    def __init__(self, where: int | str | None):
        self.where = where

    def __call__(self, module: nn.Module, args: object, output: Any) -> Any:
        if isinstance(output, Tensor):
            return output
        parts = _parts(output)
        kind, has = type(output).__name__, _told(output, parts)
        if self.where is None:
            when = " in training" if module.training else ""
            likely = [n for n, p in parts.items() if isinstance(p, Tensor) and p.ndim == 2]
            hint = "let its forward return them, or a tuple or dict in which they are"
            if parts:
                hint = f"name where they are:  output: {[*likely, *parts][0]}"
            told = f"the network does not return logits [N, classes]{when}, but {kind} with {has}"
            raise NoLogits(told, hint)
        try:
            if isinstance(output, Mapping) or isinstance(self.where, int):
                return output[self.where]
            return getattr(output, self.where)
        except (LookupError, AttributeError, TypeError):
            told = f"what the network returns, {kind}, has no {self.where!r}; it has {has}"
            raise NoLogits(told) from None


def _parts(output: Any) -> dict[Any, Any]:
    """What ``output`` of a config can name of what a network returns, and what is there."""
    if isinstance(output, Mapping):
        return dict(output)
    if isinstance(output, tuple | list) and not hasattr(output, "_fields"):
        return dict(enumerate(output))
    for names in ("_fields", "__dataclass_fields__", "__dict__"):
        if hasattr(output, names):
            return {name: getattr(output, name) for name in getattr(output, names)}
    return {}


def _told(output: Any, parts: Mapping[Any, Any]) -> str:
    if isinstance(output, tuple | list):
        return f"{len(output)} entries"
    kind = "keys" if isinstance(output, Mapping) else "fields"
    return f"{kind} {', '.join(map(repr, parts))}" if parts else f"no {kind}"


@MODELS.adapter
def of_reference(target: Any, reference: str) -> type[Architecture]:
    """The architecture behind ``file.py:Name``: a class or function that makes a module.

    It is called with ``num_classes`` and ``image_shape`` (H, W, C) where it takes them (the first
    also where what it passes keywords on to does), and with ``model.args``. Raises TypeError for
    what is neither.
    """
    if isinstance(target, type) and issubclass(target, Architecture):
        return target
    if isinstance(target, type) and not issubclass(target, nn.Module):
        raise TypeError(f"{target.__name__} is a class, but not a torch.nn.Module")
    if not callable(target) or isinstance(target, nn.Module):
        raise TypeError("is no class or function that makes a torch.nn.Module")
    own = {"target": staticmethod(target), "__doc__": target.__doc__}
    return type("Referenced", (_Referenced,), own)


class _Referenced(Foreign):
    """A network of one's own."""

    target: ClassVar[Callable[..., nn.Module]]

    @classmethod
    def make(cls, options: Any, num_classes: int, image_shape: ImageShape) -> nn.Module:
        offered = {"num_classes": num_classes, "image_shape": image_shape}
        try:
            taken = inspect.signature(cls.target).parameters
        except (TypeError, ValueError):
            taken = {}  # type: ignore[assignment]
        given = {key: value for key, value in offered.items() if key in taken} | options.args
        passed_on = any(p.kind is p.VAR_KEYWORD for p in taken.values())
        if passed_on and "num_classes" not in given:
            try:
                return cls.target(num_classes=num_classes, **given)
            except TypeError as error:  # whoever gets it does not take it
                if "'num_classes'" not in str(error):
                    raise
        return cls.target(**given)


def of_library(word: str) -> tuple[str, str] | None:
    """Library and network of ``torchvision:resnet18``; None where no library is named."""
    library, _, name = word.partition(":")
    if not name or library not in MODELS.names() or "name" not in _fields(library):
        return None
    return library, name


def _fields(kind: str) -> set[str]:
    return {field.name for field in dataclasses.fields(MODELS[kind].Options)}


def adapted_to_channels(module: nn.Module, channels: int) -> nn.Module:
    """The first convolution for so many channels, if the network expects another number."""
    for path, part in module.named_modules():
        if isinstance(part, nn.Conv2d):
            if part.in_channels != channels and part.groups == 1:
                new = nn.Conv2d(
                    channels,
                    part.out_channels,
                    part.kernel_size,  # type: ignore[arg-type]
                    part.stride,  # type: ignore[arg-type]
                    part.padding,  # type: ignore[arg-type]
                    part.dilation,  # type: ignore[arg-type]
                    bias=part.bias is not None,
                )
                parent, _, name = path.rpartition(".")
                setattr(module.get_submodule(parent), name, new)
            break
    return module
