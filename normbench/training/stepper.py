"""Runs that advance step by step together: one alone, or several seeds of one norm at once.

A stack of runs shares every kernel launch: their weights lie in one tensor a layer, and
``torch.func.vmap`` carries the step over its first axis. On an accelerator, where small networks
leave most of the device idle, several seeds then take little longer than one. The last bits differ
from those of a run alone, since other kernels add up in another order, so the resolved config says
which it was.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from normbench.errors import ConfigError, Problem
from normbench.models.assemble import step_problem
from normbench.models.trace import PRODUCTS, is_norm
from normbench.probes import ProbeRecorder
from normbench.training.optimizers import (
    apply_bounds,
    make_optimizer,
    parameter_groups,
    set_rates,
)
from normbench.training.run import Run

Quantities = dict[str, list[float]]

COUNT = "step"
"""Adam's count of its steps: the one part of an optimizer's state that all runs share."""

RECORDINGS = 3
"""Calls until a CUDA graph is compiled, tried, and recorded."""


class Stepper(Protocol):
    """Runs of equal length that stand at the same step."""

    @property
    def runs(self) -> Sequence[Run]:
        """At least one."""
        ...

    def update(self) -> None:
        """One step of every run."""
        ...

    def probed_update(self) -> list[Quantities]:
        """One step of every run, with what the probes see in it, a dict a run."""
        ...

    def resumed(self) -> None:
        """Called once after the runs were restored from their checkpoints."""
        ...


class SingleStepper:
    """One run, step by step in eager mode."""

    def __init__(self, run: Run):
        self.runs = [run]

    def update(self) -> None:
        """See ``Stepper``."""
        self.runs[0].update()

    def probed_update(self) -> list[Quantities]:
        """See ``Stepper``."""
        recorder = ProbeRecorder(self.runs[0].assembled)
        self.runs[0].update(recorder)
        return [recorder.after_step()]

    def resumed(self) -> None:
        """See ``Stepper``."""


class VmapStepper:
    """K runs of one config but for the seed, in one step; compiled where the config says so.

    The parameters and buffers of all runs lie in ``parameters`` and ``buffers``, name -> [K, ...];
    those of each run's own network are views of them. So evaluation, probes and checkpoints are
    each run's own, as if it were alone.
    """

    def __init__(self, runs: Sequence[Run]):
        self.runs = runs
        networks = [run.network for run in runs]
        self.parameters = {
            name: torch.stack([n.get_parameter(name).detach() for n in networks]).requires_grad_(
                parameter.requires_grad
            )
            for name, parameter in networks[0].named_parameters()
        }
        self.buffers = {
            name: torch.stack([n.get_buffer(name) for n in networks])
            for name, _ in networks[0].named_buffers()
        }
        for index, network in enumerate(networks):
            for name, parameter in network.named_parameters():
                parameter.data = self.parameters[name].detach()[index]
            for name, buffer in network.named_buffers():
                buffer.data = self.buffers[name][index]
        self.losses = torch.stack([run.losses for run in runs])  # [K, steps between evaluations]
        for run, losses in zip(runs, self.losses, strict=True):
            run.losses = losses
        self.config = runs[0].config
        self.assembled = runs[0].assembled
        settings = self.config.optimizer
        groups = parameter_groups(self.assembled, self.parameters, settings)
        self.optimizer = make_optimizer(groups, settings)
        products = [n for n, r in self.assembled.roles.items() if r in ("weight", "bias")]
        # PyTorch has no batching rule for its fused attention on a CPU, and would go run by run.
        on_cpu = runs[0].device.type == "cpu"
        self._attention = functools.partial(sdpa_kernel, SDPBackend.MATH) if on_cpu else nullcontext
        self._in_bf16 = products if self.config.training.precision == "bf16" else []
        for network in networks if self._in_bf16 else ():
            _cast_as_autocast_does(network)
        self._step_losses = vmap(self._loss)
        if self.config.runtime.compile:
            # On a CUDA device this mode replays forward and backward as CUDA graphs, for which the
            # weights must be known to stay where they are.
            from torch._dynamo import mark_static_address  # takes as long to import as torch

            cuda = runs[0].device.type == "cuda"
            for tensor in (*self.parameters.values(), *self.buffers.values()):
                mark_static_address(tensor)
            mode = "reduce-overhead" if cuda else "default"
            self._step_losses = torch.compile(self._step_losses, mode=mode)
            for _ in range(RECORDINGS if cuda else 1):
                self._warm_up()

    def _loss(
        self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], x: Tensor, y: Tensor
    ) -> Tensor:
        if self._in_bf16:
            # By hand what autocast does, which does not see through vmap.
            low = {name: parameters[name].bfloat16() for name in self._in_bf16}
            parameters, x = {**parameters, **low}, x.bfloat16()
        logits = functional_call(self.runs[0].network, (parameters, buffers), (x,))
        return F.cross_entropy(logits.float(), y)

    def _backward(self, x: Tensor, y: Tensor) -> Tensor:
        """The losses [K]; x: [K, B, ...], y: [K, B]. Each loss depends on its own run alone."""
        self.optimizer.zero_grad(set_to_none=True)
        with self._attention():
            losses = self._step_losses(self.parameters, self.buffers, x, y)
        losses.sum().backward()
        return losses.detach()

    def update(self) -> None:
        """See ``Stepper``."""
        first = self.runs[0]
        x, y = _stacked([run.next_batch() for run in self.runs])
        for run in self.runs:
            run.tell_progress()
        set_rates(self.optimizer, first.learning_rate())
        losses = self._backward(x, y)
        if self.config.optimizer.clip_norm is not None:
            self._clip(self.config.optimizer.clip_norm)
        new = not self.optimizer.state
        self.optimizer.step()
        apply_bounds(self.assembled, self.parameters.__getitem__)
        if new:
            self._share_optimizer_state()
        self.losses[:, first.step - first.first_loss_step] = losses
        for run in self.runs:
            run.step += 1

    def probed_update(self) -> list[Quantities]:
        """See ``Stepper``.

        Hooks do not see through vmap, so each network is looked at by itself before the update.
        """
        recorders = [ProbeRecorder(run.assembled) for run in self.runs]
        for run, recorder in zip(self.runs, recorders, strict=True):
            buffers = [buffer.clone() for buffer in run.network.buffers()]
            run.tell_progress()
            with recorder.recording():
                run.backward(*run.next_batch())
            recorder.after_backward(run.learning_rate())
            run.optimizer.zero_grad(set_to_none=True)
            for buffer, before in zip(run.network.buffers(), buffers, strict=True):
                buffer.copy_(before)
        self.update()
        return [recorder.after_step() for recorder in recorders]

    def resumed(self) -> None:
        """See ``Stepper``: the optimizer takes its state from those of the runs."""
        if not self.runs[0].optimizer.state:
            return  # stopped before the first step
        for name, stacked in self.parameters.items():
            states = [run.optimizer.state[run.network.get_parameter(name)] for run in self.runs]
            self.optimizer.state[stacked] = {
                key: value.clone() if key == COUNT else torch.stack([s[key] for s in states])
                for key, value in states[0].items()
            }
        self._share_optimizer_state()

    def _share_optimizer_state(self) -> None:
        for name, stacked in self.parameters.items():
            for index, run in enumerate(self.runs):
                run.optimizer.state[run.network.get_parameter(name)] = {
                    key: value if key == COUNT else value[index]
                    for key, value in self.optimizer.state[stacked].items()
                }

    def _clip(self, most: float) -> None:
        """Each run's whole gradient to a norm of at most ``most``, as for a run alone."""
        gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
        squares = torch.stack(
            [g.reshape(len(g), -1).square().sum(1) for g in gradients]
        )  # [tensors, K]
        factors = (most / (squares.sum(0).sqrt() + 1e-6)).clamp(max=1)
        for gradient in gradients:
            gradient.mul_(factors.view(-1, *[1] * (gradient.ndim - 1)))

    def _warm_up(self) -> None:
        """Compile before the clock starts, leaving no trace."""
        buffers = {name: buffer.clone() for name, buffer in self.buffers.items()}
        size = self.config.data.batch_size
        self.runs[0].network.train()
        self._backward(*_stacked([r.data.batch(r.train_indices[:size]) for r in self.runs]))
        self.optimizer.zero_grad(set_to_none=True)
        for name, before in buffers.items():
            self.buffers[name].copy_(before)


def _cast_as_autocast_does(network: nn.Module) -> None:
    """What a layer with weights in bf16 takes in is cast to bf16, as autocast does, wherever a
    parameter in float32 has been added to it. PyTorch's own norms, which in a stack want one type
    for all, compute in float32.
    """
    for part in network.modules():
        if isinstance(part, (*PRODUCTS, nn.MultiheadAttention, nn.RNNBase, nn.RNNCellBase)):
            part.register_forward_pre_hook(_into_bf16)
        elif is_norm(part) and type(part).__module__.startswith("torch.nn."):
            part.register_forward_pre_hook(_into_fp32)
            part.register_forward_hook(_out_of_fp32)


def _into_bf16(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_cast(arg, torch.bfloat16) for arg in args)


def _into_fp32(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_cast(arg, torch.float32) for arg in args)


def _out_of_fp32(_: nn.Module, args: object, output: Tensor) -> Tensor:
    return output.bfloat16()


def _cast(value: Any, dtype: torch.dtype) -> Any:
    return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value


def _stacked(batches: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """(x [K, B, ...], y [K, B])."""
    return torch.stack([x for x, _ in batches]), torch.stack([y for _, y in batches])


def make_stepper(runs: Sequence[Run]) -> Stepper:
    """A stack, or the run alone: which one, the runs' config says.

    Raises ConfigError where the network cannot be trained so, as only now is known of data whose
    image size the config does not tell.
    """
    runtime, network = runs[0].config.runtime, runs[0].assembled
    problem = step_problem(
        network.draws, network.method, stacked=runtime.stack > 1, compiled=runtime.compile
    )
    if problem:
        raise ConfigError([Problem(f"runtime.{problem[0]}", problem[1])])
    return VmapStepper(runs) if runtime.stack > 1 or runtime.compile else SingleStepper(runs[0])
