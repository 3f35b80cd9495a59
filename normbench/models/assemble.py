"""Build, draw, hash, then let the method change the network: the only place that calls a method.

The backbone is the same under every method by construction: its parameters are drawn, each from the
stream of its own name, and hashed before the method sees the network.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from normbench import vision
from normbench.components import summary_of, their_frames
from normbench.constants import NEVER_CALLED
from normbench.errors import ConfigError, Problem
from normbench.models.apply import apply, verify
from normbench.models.base import ImageShape
from normbench.models.init import MODULE, initialize
from normbench.models.network import Blueprint, Network
from normbench.models.slots import Anatomy, examine
from normbench.models.trace import ACTIVATIONS, NoLogits, Untraceable, in_training, materialize
from normbench.norms import NormMethod
from normbench.norms.layouts import layer_at


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
        anatomy.draws,
        seed,
        anatomy.head,
    )
    wrong = problem_of(blueprint, anatomy, method, batch_size)
    if wrong:
        raise ConfigError([Problem("norms", wrong)])
    before = {name: parameter.detach().clone() for name, parameter in backbone.items()}
    apply(network, anatomy)
    verify(network, before)
    return network


def start_from_data(network: Network, images: Tensor, seed: int) -> None:
    """Let the method set those initial values that go by data, and note which they are.

    images: a batch of the training split. Statistics that layers keep stay as they were.
    """
    earlier, module = network.reinitialized, network.module
    before = {
        f"{path}.{name}": getattr(product, name).detach().clone()
        for path, product in zip(
            (layer.path for layer in network.layers), network.products(), strict=True
        )
        for name in ("weight", "bias")
        if isinstance(getattr(product, name), Tensor)
    }
    buffers = [buffer.clone() for buffer in module.buffers()]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network.method.from_data(network, images)
    for buffer, value in zip(module.buffers(), buffers, strict=True):
        buffer.copy_(value)
    verify(network, before)
    network.reinitialized = tuple(dict.fromkeys((*earlier, *network.reinitialized)))


def problem_of(
    blueprint: Blueprint, anatomy: Anatomy, method: NormMethod, batch_size: int
) -> str | None:
    """Why this method cannot stand in a network of this anatomy; None when it can."""
    conflict = method.conflicts.get(blueprint.kind)
    if conflict:
        return conflict
    if not anatomy.slots and method.replaces:
        kept = "; ".join(f"{k.path} ({k.kind}): {k.reason}" for k in anatomy.kept[:5])
        kept = kept or "it calls no layer of a type that is known to be a norm"
        return f"no norm was found in this network that could be exchanged: {kept}"
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
    if "weight" in method.replaces and anatomy.held:
        path, why = next(iter(anatomy.held.items()))
        return f"it holds the weights of layers in another way, and that of {path} {why}"
    if "residual" in method.replaces and not anatomy.residuals:
        return "it changes residual blocks, and this network has none of a known kind"
    for slot in anatomy.slots:
        if not method.replaces and slot.default is None:
            continue  # a layer that stays what it is
        reason = method.problem(slot, batch_size)
        if reason:
            return reason if not blueprint.architecture.open else f"{slot.path}: {reason}"
    return None


def layer_problem(anatomy: Anatomy, method: NormMethod) -> Problem | None:
    """Why a layer that another wrote does not work where it would stand, with the frames of its
    code; None where it does, and for methods of this package, which their tests hold.
    """
    ours = type(method).__module__.startswith("normbench.") and not hasattr(method, "layer_class")
    for slot in () if ours else anatomy.slots:
        if not method.replaces and slot.default is None:
            continue
        sizes = "x".join(map(str, slot.shape))
        try:
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                y = layer_at(method, slot)(torch.ones(2, *slot.shape))
        except Exception as error:
            told = f"its layer for {slot.path}, of {sizes}, raises {summary_of(error)}"
            return Problem("norms", told, their_frames(error))
        if not isinstance(y, Tensor) or y.shape != (2, *slot.shape):
            gives = "x".join(map(str, y.shape[1:])) if isinstance(y, Tensor) else type(y).__name__
            return Problem("norms", f"its layer for {slot.path} gives {gives} for {sizes}")
    return None


def step_problem(
    draws: bool, method: NormMethod, *, stacked: bool, compiled: bool
) -> tuple[str, str] | None:
    """(stack or compile, why a network under this method cannot be trained so), or None.

    draws: whether its training step draws random numbers.
    """
    if stacked and draws:
        reason = "the network draws random numbers, as for dropout, which seeds side by side cannot"
        return "stack", reason
    for asked, key in ((stacked, "stack"), (compiled, "compile")):
        if asked and key in method.conflicts:
            return key, method.conflicts[key]
    return None


@functools.lru_cache(maxsize=256)
def _anatomy(key: str, plan: _Plan) -> Anatomy:
    del key
    # Another's constructor may look at values, which there are none of on the meta device.
    on = nullcontext() if plan.blueprint.architecture.open else torch.device("meta")
    with on:
        module = _built(plan.blueprint, plan.image_shape, plan.num_classes or CLASSES, 0)
    return _examined(plan.blueprint, module, plan.image_shape, plan.num_classes)


@dataclass(frozen=True, eq=False)
class _Plan:
    blueprint: Blueprint
    image_shape: ImageShape
    num_classes: int | None

    def __hash__(self) -> int:
        return 0  # the key beside it says all

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Plan)


CLASSES = 10
"""Of a network that is looked at before the data have told how many there are."""


def anatomy(
    blueprint: Blueprint, image_shape: ImageShape, num_classes: int | None = None
) -> Anatomy:
    """What such a network looks like inside, without drawing its weights. Raises ConfigError.

    num_classes: None while it is not known; then nothing is said of how many logits there are.
    """
    plan = _Plan(blueprint, image_shape, num_classes)
    # The architecture itself as well: an edited file makes another one.
    return _anatomy(repr((blueprint, id(blueprint.architecture), image_shape, num_classes)), plan)


# --- build ---


def _built(blueprint: Blueprint, image_shape: ImageShape, num_classes: int, seed: int) -> nn.Module:
    kind = blueprint.architecture
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            module = kind.build(blueprint.options, blueprint.settings, image_shape, num_classes)
        except (Exception, SystemExit) as error:
            if vision.refused(error) and not vision.mismatched():
                vision.torchvision()
                return _built(blueprint, image_shape, num_classes, seed)
            # What this package raises is a sentence; what others do has a place in their code.
            frames = their_frames(error)
            if not frames and not isinstance(error, ValueError | TypeError):
                raise
            told = f"the network's constructor raises {summary_of(error)}" if frames else str(error)
            hint = "give it in model.args" if "required positional argument" in told else ""
            raise ConfigError([Problem("model", told, frames or hint)]) from None
        if kind.open:
            with _failures_told(blueprint, image_shape):
                materialize(module, _example(blueprint, image_shape))
    return module


def _example(blueprint: Blueprint, image_shape: ImageShape) -> Tensor:
    """Two images of noise as the network takes them, on the CPU; the same every time."""
    height, width, channels = image_shape
    flat = blueprint.architecture.layout == "flat"
    shape = (2, height * width * channels) if flat else (2, channels, height, width)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), device="cpu")


_OF_SIZE = re.compile("size|shape|height|width", re.IGNORECASE)
"""What the errors have in common that PyTorch and libraries raise where an image does not fit."""


@contextmanager
def _failures_told(blueprint: Blueprint, image_shape: ImageShape) -> Iterator[None]:
    """A forward pass that fails is a mistake in the config."""
    try:
        yield
    except NoLogits as error:
        path = "model" if error.hint else "model.output"
        raise ConfigError([Problem(path, str(error), error.hint)]) from None
    except Untraceable as error:
        cause = error.__cause__
        frames = their_frames(cause) if cause and blueprint.architecture.open else ""
        height, width, channels = image_shape
        remedy = ""
        if "channels" in str(cause):
            have = f"{channels} channel" + "s" * (channels != 1)
            remedy = f"the images have {have}; its constructor may take image_shape"
        elif _OF_SIZE.search(str(cause)):
            remedy = (
                f"the images are {height}x{width}: data.resize (of check: --size) makes them of "
                f"another size"
            )
        hint = "\n".join(filter(None, (remedy, frames)))
        raise ConfigError([Problem("model", str(error), hint)]) from None


def _examined(
    blueprint: Blueprint, module: nn.Module, image_shape: ImageShape, num_classes: int | None
) -> Anatomy:
    example = _example(blueprint, image_shape)
    with _failures_told(blueprint, image_shape):
        anatomy = examine(module, example, blueprint.keep)
    _check_logits(anatomy.output, num_classes, "")
    if not blueprint.architecture.open:  # ours draw nothing, and return logits in training too
        return anatomy
    with _failures_told(blueprint, image_shape):
        trained = in_training(module, example)
    shape = tuple(trained.output.shape) if isinstance(trained.output, Tensor) else ()
    _check_logits(shape, num_classes, " in training")
    kept = tuple(
        replace(k, reason="it is called in training alone")
        if k.path in trained.norms and k.reason == NEVER_CALLED
        else k
        for k in anatomy.kept
    )
    return replace(anatomy, draws=trained.draws, kept=kept)


def _check_logits(shape: tuple[int, ...], num_classes: int | None, when: str) -> None:
    """Raise ConfigError unless this is the shape of two examples' logits, of so many classes."""
    if len(shape) != 2 or shape[0] != 2 or num_classes not in (None, shape[1]):
        sizes = "x".join(map(str, shape[1:])) or "no"
        have = f"the data have {num_classes} classes" if num_classes else "[N, classes] is needed"
        message = f"the network gives {sizes} numbers an image{when}, and {have}"
        hint = "let its constructor take num_classes, or give the number in model.args"
        raise ConfigError([Problem("model", message, hint)])


def _draw(blueprint: Blueprint, module: nn.Module, seed: int) -> list[str]:
    """Draw, and name what nobody drew."""
    if blueprint.settings.init == MODULE:
        return []  # done by the constructors, under the run's seed
    extra = blueprint.architecture.drawn(module)
    drawn = initialize(module, blueprint.settings.init, seed, extra)
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
