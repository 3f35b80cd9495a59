"""Build, draw, hash, then let the method change the network: the only place that calls a method.

The backbone is the same under every method by construction: its parameters are drawn, each from the
stream of its own name, and hashed before the method sees the network.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from normbench.components import NotLoaded, summary_of, their_frames
from normbench.errors import ConfigError, Problem
from normbench.models.base import MODELS, Architecture, Block, Common, ImageShape
from normbench.models.init import MODULE, initialize
from normbench.models.residual import Residual
from normbench.models.roles import Role, roles
from normbench.models.slots import Anatomy, Kept, Layer, examine
from normbench.models.trace import ACTIVATIONS, NormSite, Untraceable
from normbench.norms import NormMethod, NormSlot, Rule

DRAWING = ("Dropout", "DropPath", "StochasticDepth", "AlphaDropout")


@dataclass(frozen=True)
class Blueprint:
    """A network but for its norm: the kind, its options, and what built-in kinds share."""

    kind: str
    options: Any
    common: Common

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
    """A norm that was exchanged: its slot, what stood there, what stands there now."""

    slot: NormSlot
    before: str
    after: str


@dataclass(eq=False)
class Network:
    """A network with its norms in place, and what is known of it.

    module: the network itself. backbone_sha256: over names and bytes of every parameter before the
    method came, outside the norms. roles: of every parameter by name; rules: what the method's
    paper fixes for a parameter. reinitialized: parameters of the backbone whose values the method
    changed. draws: whether a training step takes random numbers from PyTorch's generator.
    """

    module: nn.Module
    blueprint: Blueprint
    method: NormMethod
    slots: tuple[NormSlot, ...]
    layers: tuple[Layer, ...]
    kept: tuple[Kept, ...]
    backbone_sha256: str
    draws: bool
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

    def norms(self) -> list[nn.Module]:
        """The module at each slot, from input to output."""
        return [self.module.get_submodule(slot.path) for slot in self.slots]

    def scale_invariant(self) -> list[bool | None]:
        """By layer: whether the output is the same when its weights are multiplied by c > 0.

        None where the method has not declared what it does, or changes more than the norms.
        """
        traits = self.method.traits
        if traits.statistics is None or not self.method.standard_layers:
            return [None] * len(self.layers)
        own = {slot.path for slot in self.slots}
        divides = traits.statistics != "none"
        return [divides and layer.scaled and layer.norm in own for layer in self.layers]


def assemble(
    blueprint: Blueprint,
    method: NormMethod,
    image_shape: ImageShape,
    num_classes: int,
    seed: int,
    batch_size: int = 2,
) -> Network:
    """The network under ``method`` at step 0 of ``seed``, on the CPU, in float32.

    image_shape: (H, W, C). Raises ConfigError where network, images and method do not go together,
    and for a parameter that nobody draws: it would start where PyTorch's generator happens to
    stand, another value in every run.
    """
    module = _built(blueprint, image_shape, num_classes, seed)
    anatomy = _examined(blueprint, module, image_shape, num_classes)
    slots = anatomy.slots
    inside = {id(p) for s in slots for p in module.get_submodule(s.path).parameters()}
    undrawn = _draw(blueprint, module, seed)
    undrawn = [n for n in undrawn if id(module.get_parameter(n)) not in inside]
    if undrawn:
        message = (
            f"the initialization draws the weights of Linear and Conv layers, and in "
            f"{blueprint.kind} nobody draws {', '.join(undrawn)}"
        )
        hint = "take  init: module, with which the network's own constructor draws them"
        raise ConfigError([Problem("model.init", message, hint)])
    backbone = {n: p for n, p in module.named_parameters() if id(p) not in inside}
    network = Network(
        module,
        blueprint,
        method,
        slots,
        anatomy.layers,
        anatomy.kept,
        _sha256(backbone),
        any(type(m).__name__.startswith(DRAWING) for m in module.modules()),
    )
    wrong = problem_of(blueprint, anatomy, method, batch_size)
    if wrong:
        raise ConfigError([Problem("norms", wrong)])
    before = {name: parameter.detach().clone() for name, parameter in backbone.items()}
    _apply(network, anatomy)
    _verify(network, before)
    return network


def problem_of(
    blueprint: Blueprint, anatomy: Anatomy, method: NormMethod, batch_size: int
) -> str | None:
    """Why this method cannot stand in a network of this anatomy; None when it can."""
    conflict = method.conflicts.get(blueprint.kind)
    if conflict:
        return conflict
    if not anatomy.slots and method.replaces:
        kept = "; ".join(f"{k.path} ({k.kind}): {k.reason}" for k in anatomy.kept[:5])
        return f"no norm was found in this network that could be exchanged. {kept}".strip()
    if "activation" in method.replaces:
        taken: dict[str, str] = {}
        for slot in anatomy.slots:
            if slot.activation is None or slot.activation in taken:
                how = (
                    "a function, or nothing"
                    if slot.activation is None
                    else f"also that of {taken[slot.activation]}"
                )
                return (
                    f"it replaces the activation that follows a norm, and what follows "
                    f"{slot.path} is {how}"
                )
            taken[slot.activation] = slot.path
    if "residual" in method.replaces and all(slot.branch is None for slot in anatomy.slots):
        return "it changes residual branches, and this network has none of a known kind"
    for slot in anatomy.slots:
        if not method.replaces and slot.default is None:
            continue  # a layer that stays what it is
        reason = method.problem(slot, batch_size)
        if reason:
            return reason if not blueprint.architecture.open else f"{slot.path}: {reason}"
    return None


@functools.lru_cache(maxsize=256)
def _anatomy(key: str, plan: _Plan) -> Anatomy:
    del key
    with torch.device("meta"):
        try:
            module = _built(plan.blueprint, plan.image_shape, plan.num_classes, 0)
        except (RuntimeError, NotImplementedError):
            module = None
    if module is None:
        module = _built(plan.blueprint, plan.image_shape, plan.num_classes, 0)
    return _examined(plan.blueprint, module, plan.image_shape, plan.num_classes)


@dataclass(frozen=True, eq=False)
class _Plan:
    blueprint: Blueprint
    image_shape: ImageShape
    num_classes: int

    def __hash__(self) -> int:
        return 0  # the key beside it says all

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Plan)


def anatomy(blueprint: Blueprint, image_shape: ImageShape, num_classes: int = 10) -> Anatomy:
    """What such a network looks like inside, without drawing its weights. Raises ConfigError."""
    plan = _Plan(blueprint, image_shape, num_classes)
    return _anatomy(repr((blueprint, image_shape, num_classes)), plan)


# --- build ---


def _built(blueprint: Blueprint, image_shape: ImageShape, num_classes: int, seed: int) -> nn.Module:
    kind = blueprint.architecture
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            return kind.build(blueprint.options, blueprint.common, image_shape, num_classes)
        except NotLoaded as error:
            hint = "\n".join(filter(None, (error.hint, error.frames)))
            raise ConfigError([Problem("model", error.message, hint)]) from None
        except ValueError as error:
            if not kind.open:
                raise ConfigError([Problem("model", str(error))]) from None
            raise ConfigError([_raised(error)]) from None
        except (RuntimeError, NotImplementedError):
            raise
        except Exception as error:
            raise ConfigError([_raised(error)]) from None


def _raised(error: Exception) -> Problem:
    return Problem(
        "model", f"the network's constructor raises {summary_of(error)}", their_frames(error)
    )


def _examined(
    blueprint: Blueprint, module: nn.Module, image_shape: ImageShape, num_classes: int
) -> Anatomy:
    height, width, channels = image_shape
    flat = blueprint.architecture.layout == "flat"
    shape = (2, height * width * channels) if flat else (2, channels, height, width)
    draw = torch.Generator().manual_seed(0)
    try:
        found = examine(module, torch.randn(shape, generator=draw, device="cpu"), blueprint.keep)
    except Untraceable as error:
        cause = error.__cause__
        frames = their_frames(cause) if cause and blueprint.architecture.open else ""
        larger = "images can be made larger with  data.resize: 64"
        hint = "\n".join(filter(None, (larger, frames)))
        raise ConfigError([Problem("model", str(error), hint)]) from None
    if found.output and found.output != (2, num_classes):
        sizes = "x".join(map(str, found.output[1:])) or "nothing"
        message = (
            f"the network gives {sizes} numbers an image, and the data have {num_classes} classes"
        )
        hint = "let its constructor take num_classes, or give the number in model.args"
        raise ConfigError([Problem("model", message, hint)])
    if not found.output:
        message = "the network does not return logits [N, classes]"
        hint = "name where in its tuple or dict they are:  model.output: 0"
        raise ConfigError([Problem("model", message, hint)])
    return found


def _draw(blueprint: Blueprint, module: nn.Module, seed: int) -> list[str]:
    """Draw, and name what nobody drew."""
    if blueprint.common.init == MODULE:
        return []  # done by the constructors, under the run's seed
    extra = blueprint.architecture.drawn(module)
    drawn = initialize(module, blueprint.common.init, seed, extra)
    # Constants and one's own activations start where their modules put them.
    activations = {
        id(p) for m in module.modules() if isinstance(m, ACTIVATIONS) for p in m.parameters()
    }
    return [n for n, p in module.named_parameters() if n not in drawn and id(p) not in activations]


def _sha256(parameters: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, parameter in parameters.items():
        digest.update(name.encode() + b"\0")
        digest.update(parameter.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


# --- apply ---


class FeaturesFirst(nn.Module):
    """A norm over axis 1 of [N, F] or [N, C, H, W], where features or positions lie otherwise."""

    def __init__(self, norm: nn.Module, feature_dim: int):
        super().__init__()
        self.norm, self.feature_dim = norm, feature_dim

    def forward(self, x: Tensor) -> Tensor:
        first = x.movedim(self.feature_dim, 1)
        # One axis of positions becomes two, and three or more become two.
        folded = first.unsqueeze(-1) if x.ndim == 3 else first.flatten(3) if x.ndim > 4 else first
        y: Tensor = self.norm(folded)
        return y.reshape(first.shape).movedim(1, self.feature_dim)


class _Copy(nn.Module):
    """y = x in memory of its own, where what follows may write into it."""

    def forward(self, x: Tensor) -> Tensor:
        return x.clone()


def _apply(network: Network, anatomy: Anatomy) -> None:
    module, method = network.module, network.method
    open_ = network.blueprint.architecture.open
    norms, activations = [slot.path for slot in network.slots], set(anatomy.activations)
    stands = _places(module)
    swaps = []
    for slot in network.slots:
        given = module.get_submodule(slot.path)
        if method.replaces or isinstance(given, NormSite):
            swaps.append(_exchange(module, stands, slot, given, method))
        if "activation" in method.replaces and slot.activation is not None:
            old = module.get_submodule(slot.activation)
            _replace(stands, old, method.activation(slot, old))
    for part in module.modules():
        if open_ and method.replaces and getattr(part, "inplace", False) is True:
            part.inplace = False  # type: ignore[assignment]
    if "weight" in method.replaces:
        for product in network.products():
            parametrization = method.weight(product)
            if parametrization is not None:
                parametrize.register_parametrization(product, "weight", parametrization)
    if "residual" in method.replaces:
        branches = [part for part in module.modules() if isinstance(part, Residual)]
        for index, branch in enumerate(branches):
            method.residual(branch, index, len(branches))
    network.swaps = tuple(swaps)
    if "init" in method.replaces:
        method.reinitialize(network)
    network.roles = roles(module, norms, activations)
    network.rules = _rules(module, method)


def _exchange(
    module: nn.Module, stands: Places, slot: NormSlot, given: nn.Module, method: NormMethod
) -> Swap:
    layer = method.norm(slot)
    if isinstance(layer, nn.Identity):
        fresh = isinstance(given, NormSite) or slot.producer is not None
        layer = layer if fresh else _Copy()
    elif slot.feature_dim != 1 or len(slot.shape) not in (1, 3):
        layer = FeaturesFirst(layer, slot.feature_dim)
    after = str(layer).replace("\n", " ")
    parent = module.get_submodule(slot.path.rpartition(".")[0])
    if not isinstance(layer, nn.Identity) and not isinstance(parent, Block):
        layer.register_forward_hook(_in_the_type_of_its_input)
    act, drop = getattr(given, "act", None), getattr(given, "drop", None)
    if isinstance(act, nn.Module):  # timm's norms carry their activation
        rest = [drop] if isinstance(drop, nn.Module) else []
        layer = nn.Sequential(layer, *rest, act)
    _replace(stands, given, layer)
    return Swap(slot, str(given), after)


def _in_the_type_of_its_input(_: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """Autocast on CUDA makes float32 of some norms alone."""
    return output.to(args[0].dtype)


Places = dict[int, list[tuple[nn.Module, str]]]
"""id of a module -> every (parent, name) under which it stands."""


def _places(module: nn.Module) -> Places:
    found: Places = {}
    for part in module.modules():
        for name, child in part._modules.items():
            found.setdefault(id(child), []).append((part, name))
    return found


def _replace(stands: Places, old: nn.Module, new: nn.Module) -> None:
    """Wherever ``old`` stands, also under several names."""
    for parent, name in stands[id(old)]:
        parent._modules[name] = new


def _rules(module: nn.Module, method: NormMethod) -> dict[str, Rule]:
    return {
        name: method.rules[name.rpartition(".")[2]]
        for name, _ in module.named_parameters()
        if name.rpartition(".")[2] in method.rules
    }


def _verify(network: Network, before: Mapping[str, Tensor]) -> None:
    """Note what of the backbone the method changed. Raises AssertionError if it may not."""
    changed = []
    for name, value in before.items():
        path, _, last = name.rpartition(".")
        now = getattr(network.module.get_submodule(path), last, None)
        if not isinstance(now, Tensor) or not torch.equal(now.detach(), value):
            changed.append(name)
    network.reinitialized = tuple(changed)
    if changed and network.method.replaces <= {"norm"}:
        kind = type(network.method).__name__
        raise ConfigError(
            [Problem("norms", f"{kind} changes {', '.join(changed)}, which it does not declare")]
        )
