"""Watching one training step from outside.

Probes only observe: they draw no random numbers, change no tensor of the training step, and wait
for the device once, when the whole step's values are fetched together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from normbench.models.network import Network
from normbench.models.residual import Residual
from normbench.registry import Registry

SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
VALUES = 4096
"""About how many values of a layer quantiles are taken of: sorting all would take longer than the
training step, and twice as many take five times as long."""

EXAMPLES = 128
"""How many examples of a batch are compared with one another: the singular values of more would
take longer than the training step."""


@dataclass
class Capture:
    """The tensors of one step, one entry a hidden layer, counted from the input.

    pre_activation_gradients: dL/dz_l, where z_l is the output of layer l's Linear or Conv;
    activation_inputs, activation_outputs: around the activation function; weights: W_l (the live
    parameters, with their gradients in ``.grad``, or what is computed from others); weights_before:
    copies made before the step; activated: whether there is an activation function; where there is
    none, the output of the norm or of the layer stands for both. learning_rate: of the step;
    scale_invariant: as the network has it. blocks: of each layer the number of the residual block
    that it stands in, from 0, or None; for each block streams, what enters it, stream_gradients, dL
    by that, and identity_shares, the mean square of the skip over that of skip plus branch.
    """

    pre_activation_gradients: list[Tensor] = field(default_factory=list)
    activation_inputs: list[Tensor] = field(default_factory=list)
    activation_outputs: list[Tensor] = field(default_factory=list)
    activated: list[bool] = field(default_factory=list)
    weights: list[Tensor] = field(default_factory=list)
    weights_before: list[Tensor] = field(default_factory=list)
    learning_rate: float = math.nan
    scale_invariant: list[bool | None] = field(default_factory=list)
    blocks: list[int | None] = field(default_factory=list)
    streams: dict[int, Tensor] = field(default_factory=dict)
    stream_gradients: dict[int, Tensor] = field(default_factory=dict)
    identity_shares: dict[int, Tensor] = field(default_factory=dict)

    def of_blocks(self, values: Mapping[int, Tensor]) -> Tensor | None:
        """For each layer the value of its block, NaN where it is in none; None without blocks."""
        if not self.streams:
            return None
        missing = torch.full((), math.nan, device=next(iter(self.streams.values())).device)
        by_layer = [missing if at is None else values.get(at, missing) for at in self.blocks]
        return torch.stack([value.float() for value in by_layer])

    def weight_gradients(self) -> list[Tensor]:
        """dL/dW_l of every layer, NaN where there is none."""
        # A weight that is computed from others is no leaf, and has none.
        grads = [w.grad if w.is_leaf else None for w in self.weights]
        return [_missing(w) if g is None else g for w, g in zip(self.weights, grads, strict=True)]

    @cached_property
    def input_quantiles(self) -> Tensor:
        """The quantiles ``SHARES`` of each layer's activation inputs: [L, 5] float32."""
        shares = torch.tensor(SHARES, device=self.activation_inputs[0].device)
        by_layer = []
        for values in self.activation_inputs:
            # An odd stride, which meets every one of a power of two of units.
            stride = max(1, values.numel() // VALUES) | 1
            by_layer.append(torch.quantile(values.flatten()[::stride].float(), shares))
        return torch.stack(by_layer)

    @cached_property
    def grams(self) -> Tensor:
        """Inner products of activation outputs between examples, by layer: [L, N, N] float32.

        N: the first ``EXAMPLES`` of the batch. Each layer is first divided by its largest value,
        so that what is very small or very large keeps its digits; NaN in a layer that holds one,
        or whose units are all zero.
        """
        by_layer = []
        examples = min(EXAMPLES, min(len(output) for output in self.activation_outputs))
        for output in self.activation_outputs:
            flat = output[:examples].float().flatten(1)
            flat = flat / flat.abs().amax()
            by_layer.append(flat @ flat.mT)
        return torch.stack(by_layer)


@dataclass(frozen=True)
class Probe:
    """A quantity: ``measure`` maps a capture to one value a layer, [L] float32; None where the
    network has nothing of the kind, and then there is none.

    when: "backward", before gradients are clipped or used, or "step", after the optimizer's step.
    """

    measure: Callable[[Capture], Tensor | None]
    when: Literal["backward", "step"] = "backward"


PROBES: Registry[Probe] = Registry("probe", "normbench.probes")


class ProbeRecorder:
    """Records one training step of ``network``.

    Use ``recording()`` around forward and backward, then ``after_backward()``, then, once the
    optimizer has stepped, ``after_step()``, which returns the values.
    """

    def __init__(self, network: Network):
        self.network = network
        self.capture = Capture()
        self._values: dict[str, Tensor] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Hooks are in place within this context and gone after it."""
        capture, layers = self.capture, self.network.layers
        handles: list[RemovableHandle] = []
        outputs: dict[str, Tensor] = {}
        gradients: dict[str, Tensor] = {}
        signals: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        calls: dict[str, int] = {}
        wanted = {layer.signal for layer in layers}

        def on_layer(path: str) -> Callable[..., None]:
            def keep_gradient(gradient: Tensor) -> None:
                gradients.setdefault(path, gradient)

            def hook(module: nn.Module, args: object, output: Tensor) -> None:
                if path not in outputs:  # of a layer that is called again, the first call
                    outputs[path] = output.detach()
                    if output.requires_grad:  # else it is frozen, or run again in the backward pass
                        output.register_hook(keep_gradient)

            return hook

        def on_signal(path: str) -> Callable[..., None]:
            def hook(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
                number = calls.get(path, 0)
                calls[path] = number + 1
                if (path, number) in wanted:
                    signals[path, number] = (args[0].detach(), output.detach())

            return hook

        def hook_into(path: str, hook: Callable[..., None]) -> None:
            handles.append(self.network.module.get_submodule(path).register_forward_hook(hook))

        handles += self._watch_blocks()
        for layer in layers:
            hook_into(layer.path, on_layer(layer.path))
        for path in {path for path, _ in wanted}:
            hook_into(path, on_signal(path))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
        # A layer that no signal or gradient has reached keeps its place, what is missing as NaN.
        for layer in layers:
            z = outputs.get(layer.path, torch.full((1, 1), math.nan))
            missing = torch.full_like(z, math.nan)
            capture.pre_activation_gradients.append(gradients.get(layer.path, missing))
            before, after = signals.get(layer.signal, (missing, missing))
            capture.activation_inputs.append(before if layer.activated else after)
            capture.activation_outputs.append(after)
            capture.activated.append(layer.activated)

    def _watch_blocks(self) -> list[RemovableHandle]:
        capture, blocks = self.capture, self.network.blocks()
        handles = []
        capture.blocks = list(self.network.block_of_layers())
        for number, block in enumerate(blocks.values()):
            branches: list[Tensor] = []

            def enters(_: nn.Module, args: tuple[Tensor, ...], at: int = number) -> None:
                capture.streams.setdefault(at, args[0].detach())
                if args[0].requires_grad and at not in capture.stream_gradients:
                    args[0].register_hook(
                        lambda gradient, at=at: capture.stream_gradients.setdefault(at, gradient)
                    )

            def ends(
                _: nn.Module, args: object, output: Tensor, seen: list[Tensor] = branches
            ) -> None:
                seen.append(output.detach())

            def sums(
                _: nn.Module,
                args: tuple[Tensor, ...],
                at: int = number,
                seen: list[Tensor] = branches,
                of: Residual = block,
            ) -> None:
                total = args[0].detach().float()
                skip = total - of.scale * seen[-1].float()
                share = skip.square().mean() / total.square().mean()
                capture.identity_shares.setdefault(at, share)

            handles.append(block.register_forward_pre_hook(enters))
            handles.append(block.branch_end.register_forward_hook(ends))
            handles.append(block.after.register_forward_pre_hook(sums))
        return handles

    def after_backward(self, learning_rate: float = math.nan) -> None:
        """Measure what the backward pass left behind, and remember the weights.

        learning_rate: of the step that follows.
        """
        self.capture.learning_rate = learning_rate
        self.capture.scale_invariant = self.network.scale_invariant()
        with torch.no_grad():
            self.capture.weights = self._weights()
            self._measure("backward")
            self.capture.weights_before = [w.detach().clone() for w in self.capture.weights]

    def after_step(self) -> dict[str, list[float]]:
        """Every quantity, [L] values a name. Waits for the device, once."""
        with torch.no_grad():
            # Anew where they are computed as they are asked for; an older weight norm of PyTorch's
            # does so in the next forward pass, which nobody waits for.
            self.capture.weights = [w if w.is_leaf else _missing(w) for w in self._weights()]
            self._measure("step")
            names = sorted(self._values)
            values = torch.stack([self._values[name] for name in names]).cpu().tolist()
        return dict(zip(names, values, strict=True))

    def _weights(self) -> list[Tensor]:
        return [_weight(layer) for layer in self.network.products()]

    def _measure(self, when: str) -> None:
        for name in PROBES:
            if PROBES[name].when == when:
                values = PROBES[name].measure(self.capture)
                if values is not None:
                    self._values[name] = values


def _weight(layer: nn.Module) -> Tensor:
    """Of a parametrized layer as in evaluation: PyTorch's spectral norm iterates otherwise."""
    held = getattr(layer, "parametrizations", nn.Module())
    training = held.training
    held.eval()
    weight = layer.weight
    held.train(training)
    assert isinstance(weight, Tensor)
    return weight


def _missing(like: Tensor) -> Tensor:
    return torch.full_like(like, math.nan)


def norms(tensors: list[Tensor]) -> Tensor:
    """The Euclidean norm of each tensor, [L] float32, in one call for all of them."""
    return torch.stack(torch._foreach_norm([t.float() for t in tensors]))


def probe_steps(total: int, every: int | None = None) -> list[int]:
    """The steps to probe in a run of ``total`` steps, sorted: the last step is always among them.

    With ``every``, each multiple of it. Otherwise 0 to 10 one by one, since the gradients largely
    equalize after the first step, then eight a decade, evenly spaced in the logarithm.
    """
    if every is not None:
        steps = set(range(0, total, every))
    else:
        steps = set(range(min(11, total)))
        steps |= {round(10 ** (1 + k / 8)) for k in range(1, 8 * 12)}
    return sorted(step for step in steps | {total - 1} if 0 <= step < total)
