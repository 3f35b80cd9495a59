"""What a normalization method is, and how a network asks one for its parts.

A method is bound to one network by its name, its options and the experiment's ``NormPolicy``; the
model builder then asks it for the layer at each site. Some published methods replace more than a
layer (the activation, the weights, the residual scale): they override the matching method of
``Method``, and the builder, which asks all of them everywhere, never names a method.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from normbench.registry import Registry

Axes = Literal["chw", "c"]
Statistics = Literal["batch", "example", "none"]


@dataclass(frozen=True)
class NormPolicy:
    """The policy that every norm of an experiment shares; there are no per-layer defaults.

    eps: added to the (mean) square before the root; affine: learn a scale (and, where the method
    has one, a shift) per feature or channel; momentum: weight of the newest batch in running
    statistics; axes: what one example's statistics on images run over, all of C,H,W or only C.
    """

    eps: float = 1e-5
    affine: bool = True
    momentum: float = 0.1
    axes: Axes = "chw"


@dataclass(frozen=True)
class Site:
    """A place for a norm in a network: ``features`` channels, at ``height`` x ``width`` positions.

    Features of an MLP ([N, F]) have neither height nor width; images ([N, C, H, W]) have both.
    """

    features: int
    height: int | None = None
    width: int | None = None

    @property
    def spatial(self) -> bool:
        return self.height is not None

    @property
    def positions(self) -> int:
        """Positions per channel and example; 1 for the features of an MLP."""
        return (self.height or 1) * (self.width or 1)


class Method:
    """One normalization method, bound to its options and the experiment's policy.

    Subclasses register in ``NORMS``, state the formula, shapes and paper in their docstring, and
    declare:

    Options: the options a config may give, a frozen dataclass with a default for each.
    statistics: what the mean square that it divides by is taken over ("batch", "example", "none"
        where it divides by none); centered: whether a mean is subtracted first. Both are unknown
        (None) unless declared, and of a method that does not declare them theory, costs and claims
        say nothing.
    """

    @dataclass(frozen=True)
    class Options:
        """No options."""

    statistics: ClassVar[Statistics | None] = None
    centered: ClassVar[bool | None] = None

    def __init__(self, policy: NormPolicy, options: Any):
        self.policy = policy
        self.options = options

    @property
    def standard_layers(self) -> bool:
        """Whether the weights and the activation stay those of the config."""
        own = type(self)
        return own.weight is Method.weight and own.activation is Method.activation

    def layer(self, site: Site) -> nn.Module:
        """The module that stands at ``site``; its output has its input's shape."""
        raise NotImplementedError

    def activation(self, activation: nn.Module, site: Site) -> nn.Module:
        """The activation to use at ``site``; most methods keep the one of the config."""
        return activation

    def weight(self, module: nn.Module) -> nn.Module:
        """The linear or convolution module to use; a weight method wraps the one it is given."""
        return module

    def group_size(self, site: Site) -> int | None:
        """Values behind one statistic of one example; None where no statistic is of one example.

        All channels and positions, unless a method says otherwise.
        """
        return site.features * site.positions if self.statistics == "example" else None

    def problem(self, site: Site, batch_size: int) -> str | None:
        """Why this method makes no sense at ``site`` with this batch size; None when it does."""
        return None


NORMS: Registry[type[Method]] = Registry("norm", "normbench.norms")


class Norm(nn.Module):
    """A layer with the shared affine: ``y * weight + bias`` per feature or channel.

    weight, bias: [features], ones and zeros; None where ``affine`` is off (or, for bias, where the
    method has no shift).
    """

    def __init__(self, site: Site, policy: NormPolicy, *, shift: bool = True):
        super().__init__()
        self.features, self.eps = site.features, policy.eps
        self.weight: nn.Parameter | None = None
        self.bias: nn.Parameter | None = None
        if policy.affine:
            self.weight = nn.Parameter(torch.ones(site.features))
            if shift:
                self.bias = nn.Parameter(torch.zeros(site.features))

    def extra_repr(self) -> str:
        affine = "none" if self.weight is None else "scale" if self.bias is None else "scale, shift"
        return f"{self.features}, eps={self.eps:g}, affine={affine}"


def channels_last(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, H, W, C], the view for statistics over C at each position."""
    return x.permute(0, 2, 3, 1)


def channels_first(x: Tensor) -> Tensor:
    """[N, H, W, C] -> [N, C, H, W], the inverse of ``channels_last``."""
    return x.permute(0, 3, 1, 2)


def make_method(kind: str, policy: NormPolicy = NormPolicy(), **options: Any) -> Method:
    """The method registered as ``kind``. Raises UnknownName, or TypeError on an unknown option."""
    cls = NORMS[kind]
    return cls(policy, cls.Options(**options))


def make_norm(
    kind: str, site: Site, policy: NormPolicy = NormPolicy(), **options: Any
) -> nn.Module:
    """One norm layer by name: what a test or a cost measurement needs."""
    return make_method(kind, policy, **options).layer(site)
