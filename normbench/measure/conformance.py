"""The registry's own test battery for a norm: what a layer must do, whoever wrote it.

Each check looks at the layer alone, at the shapes of an MLP, an image and tokens, and says in a
sentence what is wrong. What a method declares (``Traits``) is held against what is measured.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from normbench.components import summary_of
from normbench.norms import NormMethod, NormPolicy, NormSlot
from normbench.norms.layouts import layer_at
from normbench.seeding import stream

EXAMPLES = 16
SLOTS = (
    NormSlot.of(32),
    NormSlot.of(32, 6, 6),
    NormSlot("norm", 32, (5, 32), -1),
)
"""Features, an image and tokens."""


@dataclass(frozen=True)
class Finding:
    """What a check says. state: "fine", "wrong", or "left out" with the reason."""

    check: str
    where: str
    state: str
    said: str = ""


Check = Callable[["Subject"], str | None]


@dataclass(frozen=True)
class Subject:
    """One method at one slot. layer: makes a fresh layer of it."""

    method: NormMethod
    slot: NormSlot

    def layer(self) -> nn.Module:
        """A layer in training mode, as the assembly would put it there."""
        return layer_at(self.method, self.slot).train()

    def draw(self, name: str, examples: int = EXAMPLES) -> Tensor:
        """Examples whose features differ in mean and scale, as those of a network: [N, *shape]."""
        rng = stream(0, "conformance", name)
        x = torch.from_numpy(rng.standard_normal((examples, *self.slot.shape), dtype="float32"))
        own = torch.linspace(-1, 1, self.slot.features)
        if self.slot.feature_dim == 1:
            own = own.view(-1, *[1] * (len(self.slot.shape) - 1))
        return x * (1.5 + own) + own


def check_norm(method: NormMethod) -> Iterator[Finding]:
    """Every check at every slot that the method admits; the layer's own exceptions are findings."""
    for slot in SLOTS:
        where = "x".join(map(str, ("N", *slot.shape)))
        reason = method.problem(slot, EXAMPLES)
        if reason:
            yield Finding("fits", where, "left out", reason)
            continue
        subject = Subject(method, slot)
        for name, check in CHECKS.items():
            try:
                with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
                    warnings.simplefilter("ignore")
                    said = check(subject)
            except Exception as error:
                said = f"raises {summary_of(error)}"
            yield Finding(name, where, "wrong" if said else "fine", said or "")


# --- what comes out ---


def shape_and_type(s: Subject) -> str | None:
    """The output has its input's shape and type, whatever the type, and is finite."""
    for dtype in (torch.float32, torch.bfloat16, torch.float64):
        x = s.draw("types").to(dtype)
        # Parameters stay float32 under autocast, and follow in float64, where gradients are tested.
        layer = s.layer().double() if dtype == torch.float64 else s.layer()
        y = layer(x)
        if y.shape != x.shape:
            return f"gives {_sizes(y)} for {_sizes(x)}"
        if y.dtype != dtype:
            return f"gives {_name(y.dtype)} for {_name(dtype)}: hand back the type of the input"
        if not y.isfinite().all():
            return f"gives values that are not finite in {_name(dtype)}"
    return None


def does_something(s: Subject) -> str | None:
    """The output is not the input, unless the method says that it normalizes nothing."""
    x = 3 * s.draw("something") + 1
    if s.method.traits.statistics != "none" and torch.equal(s.layer()(x), x):
        return "hands its input on unchanged"
    return None


def scale_once(s: Subject) -> str | None:
    """Doubling the scale doubles what is scaled."""
    layer, x = s.layer(), s.draw("scale")
    scales = [p for n, p in layer.named_parameters() if n.rpartition(".")[2] in ("weight", "gamma")]
    if len(scales) != 1 or s.method.replaces - {"norm"}:
        return None
    before = copy.deepcopy(layer)(x)
    with torch.no_grad():
        zero = copy.deepcopy(layer)
        next(p for p in zero.parameters() if p.shape == scales[0].shape).zero_()
        rest = zero(x)  # what the scale does not reach
        scales[0].mul_(2)
        after = layer(x)
    factor = float((after - rest).norm() / (before - rest).norm().clamp_min(1e-30))
    if abs(factor - 4) < 0.2:
        return "applies its scale twice: doubled, the output grows fourfold"
    return None


def small_inputs(s: Subject) -> str | None:
    """Where the mean square is eps, the output has half of it: eps stands inside the root."""
    traits, eps = s.method.traits, 1e-2
    if traits.eps not in (None, "inside") or traits.statistics == "none" or not traits.plain:
        return None
    method = type(s.method)(NormPolicy(eps=eps), s.method.options)
    x = Subject(method, s.slot).draw("eps")
    x = (x - x.mean()) / x.std()
    small, large = (Subject(method, s.slot).layer()(c * x) for c in (eps**0.5, 1e4))
    ratio = float(small.std() / large.std())
    if abs(ratio - 1 / (1 + eps**0.5)) < 0.02:
        return "adds eps outside the root (declare it: Traits(eps='outside'), or move it inside)"
    return None


def no_global_random_numbers(s: Subject) -> str | None:
    """Neither building nor calling it moves PyTorch's generator."""
    before = torch.get_rng_state()
    layer = s.layer()
    built = torch.get_rng_state()
    layer(s.draw("random"))
    layer.eval()(s.draw("random"))
    if not torch.equal(torch.get_rng_state(), built):
        return "draws from PyTorch's global generator in its forward pass"
    if not torch.equal(before, built):
        return "draws from PyTorch's global generator where it is built"
    return None


# --- statistics ---


def other_examples(s: Subject) -> str | None:
    """An example's output does not depend on its batch, unless the method says that it may."""
    x = s.draw("one")
    other = torch.cat([x[:1], 3 * s.draw("other")[1:] + 1])
    for training in (True, False):
        if training and s.method.traits.mixes_examples:
            continue
        layer = s.layer()
        layer(x)  # so that what is kept is not what it was made with
        layer.train(training)
        a, b = copy.deepcopy(layer)(x)[0], copy.deepcopy(layer)(other)[0]
        if not torch.allclose(a, b, rtol=1e-4, atol=1e-5):
            mode = "training" if training else "evaluation"
            return f"an example's output depends on the others of its batch in {mode} mode"
    return None


def right_axis(s: Subject) -> str | None:
    """What is declared to be normalized is: the mean square is one over what it is taken over."""
    traits = s.method.traits
    plain = s.method.standard_layers and traits.plain and traits.eps != "clamped"
    if traits.statistics not in ("batch", "example") or traits.centered is None or not plain:
        return None
    policy = NormPolicy(eps=1e-12, affine=False, axes=s.method.policy.axes)
    bare = type(s.method)(policy, s.method.options)
    x = 2 * s.draw("axis") + 0.5
    marked = x.clone()
    marked[0] *= 7
    layer = Subject(bare, s.slot)
    before, after = layer.layer()(x), layer.layer()(marked)
    if traits.statistics == "example" and not torch.allclose(
        before[0], after[0], rtol=1e-3, atol=1e-3
    ):
        return "its output follows an example's own scale: the statistics are not of one example"
    scaled = layer.layer()(x * _by_feature(s))
    if traits.statistics == "batch" and not torch.allclose(before, scaled, rtol=1e-3, atol=1e-3):
        return "its output follows a feature's own scale: the statistics are not of each feature"
    return None


def _by_feature(s: Subject) -> Tensor:
    factors = torch.linspace(0.5, 4, s.slot.features)
    return factors if s.slot.feature_dim == -1 else factors.view(-1, *[1] * (len(s.slot.shape) - 1))


def running_statistics(s: Subject) -> str | None:
    """What it keeps moves by the share of ``momentum`` towards each new batch."""
    if s.method.traits.train_differs is False:
        return None
    momentum = s.method.policy.momentum
    layer, x = s.layer(), s.draw("running")
    start = _kept(layer)
    if not start:
        return None
    layer(x)
    first = _kept(layer)
    for _ in range(300):
        layer(x)
    last = _kept(layer)
    moved = {name for name, value in start.items() if not torch.equal(value, last[name])}
    if not moved:
        return f"what it keeps ({', '.join(start)}) never moves"
    for name in moved:
        whole = last[name] - start[name]
        share = float(((first[name] - start[name]) * whole).sum() / whole.square().sum())
        if momentum != 0.5 and abs(share - (1 - momentum)) < 0.02:
            return (
                f"momentum stands the wrong way round: with {momentum:g} as the weight of the "
                f"newest batch, {name} went {share:.2f} of the way at once"
            )
    return None


def _kept(layer: nn.Module) -> dict[str, Tensor]:
    return {
        n: b.detach().clone() for n, b in layer.named_buffers() if b.is_floating_point() and b.ndim
    }


def state_round_trip(s: Subject) -> str | None:
    """A layer that loads another's state gives the same, in evaluation too."""
    layer, x = s.layer(), s.draw("state")
    layer(x)
    again = s.layer()
    again.load_state_dict(layer.state_dict())
    if not torch.equal(layer.eval()(x), again.eval()(x)):
        return "a layer that loads its state gives another output in evaluation"
    return None


# --- gradients ---


def gradients(s: Subject) -> str | None:
    """Against finite differences, in float64; and once more through themselves."""
    small = NormSlot(
        s.slot.path,
        s.slot.features,
        (2, s.slot.features)
        if s.slot.is_tokens
        else (s.slot.features, *[2] * (len(s.slot.shape) - 1)),
        s.slot.feature_dim,
    )
    subject = Subject(s.method, small)
    if s.method.problem(small, 3) or s.method.traits.gradient:
        return None
    layer = subject.layer().double()
    _perturb(layer)
    x = subject.draw("gradients", 3).double().requires_grad_()
    names = [n for n, _ in layer.named_parameters()]
    buffers = {n: b.clone() for n, b in layer.named_buffers()}
    weights = torch.linspace(-1, 2, x.numel(), dtype=torch.float64).view_as(x)

    def loss(x: Tensor, *parameters: Tensor) -> Tensor:
        state = dict(zip(names, parameters, strict=True)) | {
            n: b.clone() for n, b in buffers.items()
        }
        return (functional_call(layer, state, (x,)) * weights).sum()

    inputs = (x, *[p.detach().clone().requires_grad_() for p in layer.parameters()])
    by_autograd = torch.autograd.grad(loss(*inputs), inputs, create_graph=True, allow_unused=True)
    draw = torch.Generator().manual_seed(0)
    directions = [torch.randn(i.shape, generator=draw, dtype=i.dtype) for i in inputs]
    for name, one, gradient, along in zip(
        ["x", *names], inputs, by_autograd, directions, strict=True
    ):
        if gradient is None:
            continue  # another check's
        moved = [
            loss(*[(i + sign * 1e-6 * along if i is one else i).detach() for i in inputs])
            for sign in (1, -1)
        ]
        numeric = float(moved[0] - moved[1]) / 2e-6
        exact = float((gradient * along).sum())
        if abs(numeric - exact) > 1e-4 * (abs(numeric) + abs(exact) + 1e-3):
            return f"the gradient of {name} is {exact:.6g} where differences give {numeric:.6g}"
    if by_autograd[0] is not None and by_autograd[0].requires_grad:
        torch.autograd.grad(by_autograd[0].square().sum(), inputs, allow_unused=True)
    return None


def every_parameter_learns(s: Subject) -> str | None:
    """A gradient that is not zero reaches every parameter, away from where it starts."""
    layer = s.layer()
    if not any(True for _ in layer.parameters()):
        return None
    _perturb(layer)
    x = s.draw("learns")
    weights = torch.linspace(-1, 2, x.numel()).view_as(x)
    (layer(x) * weights).sum().backward()
    without = [
        name
        for name, p in layer.named_parameters()
        if p.requires_grad and (p.grad is None or not p.grad.abs().sum() > 0)
    ]
    return f"no gradient reaches {', '.join(without)}" if without else None


def _perturb(layer: nn.Module) -> None:
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in layer.parameters():
            noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float32)
            parameter.add_(0.1 * noise.to(parameter))


def under_vmap(s: Subject) -> str | None:
    """Two copies in one step give what each gives alone, unless it declares that it cannot."""
    if "stack" in s.method.conflicts:
        return None
    layer, x = s.layer(), torch.stack([s.draw("a"), s.draw("b")])
    state = {n: torch.stack([t, t]) for n, t in layer.state_dict().items()}
    single = [copy.deepcopy(layer)(one) for one in x]
    both = vmap(lambda state, x: functional_call(layer, state, (x,)))(state, x)
    if not torch.allclose(both, torch.stack(single), rtol=1e-4, atol=1e-5):
        return "gives something else when several networks train in one step (torch.func.vmap)"
    return None


CHECKS: dict[str, Check] = {
    "shape and type": shape_and_type,
    "does something": does_something,
    "scale": scale_once,
    "eps": small_inputs,
    "random numbers": no_global_random_numbers,
    "other examples": other_examples,
    "axis": right_axis,
    "running statistics": running_statistics,
    "state": state_round_trip,
    "gradients": gradients,
    "parameters": every_parameter_learns,
    "vmap": under_vmap,
}


def _sizes(x: Tensor) -> str:
    return "x".join(map(str, x.shape))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
