"""A network with its norms in place, and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from torch import nn

from normbench.models.base import MODELS, Architecture, ModelSettings
from normbench.models.init import draw_product
from normbench.models.residual import Residual
from normbench.models.roles import Role, hidden_matrices
from normbench.models.slots import Kept, Layer
from normbench.norms import NormMethod, NormSlot, Rule

NO_MATRIX = (
    "muon orthogonalizes the matrices of hidden Linear layers, and this network has none (the "
    "kernels of convolutions, the first layer and the head are AdamW's)"
)


@dataclass(frozen=True)
class Blueprint:
    """A network but for its norm: the kind, its options, and what built-in kinds share."""

    kind: str
    options: Any
    settings: ModelSettings

    @property
    def architecture(self) -> type[Architecture]:
        """What builds it."""
        return MODELS[self.kind]

    @property
    def keep(self) -> frozenset[str]:
        """Paths of norms that stay as they are."""
        return frozenset(getattr(self.options, "keep", ()))


@dataclass(frozen=True)
class Swap:
    """A norm that was exchanged: its slot, what stood there, what stands there now.

    Both as plain PyTorch writes them, ``nn.GroupNorm(8, 64)``, where PyTorch has the layer. before:
    None where a placeholder stood.
    """

    slot: NormSlot
    before: str | None
    after: str


@dataclass(eq=False)
class Network:
    """A network with its norms in place, and what is known of it.

    module: the network itself. backbone_sha256: over names and bytes of every parameter before the
    method came, outside the norms. seed: of the run, for the streams of what a method draws. head:
    path of the Linear whose output are the logits. roles: of every parameter by name; rules: what
    the method's paper fixes for a parameter. reinitialized: parameters of the backbone whose values
    the method changed. draws: whether a training step takes random numbers from PyTorch's
    generator.
    """

    module: nn.Module
    blueprint: Blueprint
    method: NormMethod
    slots: tuple[NormSlot, ...]
    layers: tuple[Layer, ...]
    kept: tuple[Kept, ...]
    backbone_sha256: str
    draws: bool
    seed: int = 0
    head: str | None = None
    swaps: tuple[Swap, ...] = ()
    reinitialized: tuple[str, ...] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)
    rules: Mapping[str, Rule] = field(default_factory=dict)

    @property
    def layout(self) -> Literal["flat", "image"]:
        """What a batch looks like: [N, F] or [N, C, H, W]."""
        return self.blueprint.architecture.layout

    def products(self) -> list[nn.Module]:
        """The Linear or Conv of each hidden layer, from input to output."""
        return [self.module.get_submodule(layer.path) for layer in self.layers]

    def hidden_matrices(self) -> frozenset[str]:
        """Names of the weights that are matrices, less those of the first layer and the head."""
        first = self.layers[0].path if self.layers else None
        return hidden_matrices(self.module, self.roles, first, self.head)

    def redraw(self, init: str) -> None:
        """Draw the weights of every hidden layer and the head anew, each from its own stream."""
        paths = [layer.path for layer in self.layers] + ([self.head] if self.head else [])
        for path in paths:
            draw_product(self.module.get_submodule(path), path, init, self.seed)

    def told_swaps(self) -> dict[str, Any]:
        """What assembling did, in plain values: what a run's manifest keeps of it.

        swapped: path, before and after of every slot, ``before`` None where a placeholder stood;
        kept: path, kind and reason of norms that stay; reinitialized: names of parameters;
        replaces: what the method changes, such as norm and init.
        """
        return {
            "swapped": [
                {"path": swap.slot.path, "before": swap.before, "after": swap.after}
                for swap in self.swaps
            ],
            "kept": [asdict(kept) for kept in self.kept],
            "reinitialized": list(self.reinitialized),
            "replaces": sorted(self.method.replaces),
        }

    def blocks(self) -> dict[str, Residual]:
        """Every residual block by its path, from input to output."""
        parts = self.module.named_modules()
        return {path: part for path, part in parts if isinstance(part, Residual)}

    def block_of_layers(self) -> tuple[int | None, ...]:
        """The number, from 0, of the residual block that each layer stands in; None of none. [L]"""
        paths = list(self.blocks())
        around = [[p for p in paths if layer.path.startswith(f"{p}.")] for layer in self.layers]
        return tuple(paths.index(max(inside, key=len)) if inside else None for inside in around)

    def norms(self) -> list[nn.Module]:
        """The module at each slot, from input to output."""
        return [self.module.get_submodule(slot.path) for slot in self.slots]

    def scale_invariant(self) -> list[bool | None]:
        """By layer: whether the output is the same when its weights are multiplied by c > 0.

        None where the method has not declared what it does, or changes more than the norms.
        """
        traits = self.method.traits
        if traits.statistics is None or not (self.method.standard_layers and traits.plain):
            return [None] * len(self.layers)
        own = {slot.path for slot in self.slots}
        divides = traits.statistics != "none"
        return [divides and layer.scaled and layer.norm in own for layer in self.layers]
