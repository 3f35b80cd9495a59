"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from normbench.models.network import Network
from normbench.norms import Rule

if TYPE_CHECKING:
    from normbench.config import AdamConfig, OptimizerConfig, SgdConfig

Group = dict[str, Any]


def parameter_groups(
    network: Network, parameters: Mapping[str, Tensor], weight_decay: float
) -> list[Group]:
    """``parameters`` by name, of one run or of a stack, by how they are updated.

    Weight decay pulls on the weights of Linear and Conv layers alone, so that a norm's own
    parameters, which differ between norms, are never pulled towards zero, whatever their shape.
    ``rate`` is the factor on the learning rate that a method's paper fixes.
    """
    groups: dict[tuple[float, bool], list[Tensor]] = {(1.0, True): [], (1.0, False): []}
    for name, parameter in parameters.items():
        rule = network.rules.get(name, Rule())
        groups.setdefault((rule.rate, network.roles[name] == "weight"), []).append(parameter)
    return [
        {"params": group, "weight_decay": weight_decay if decayed else 0.0, "rate": rate}
        for (rate, decayed), group in groups.items()
        if group
    ]


def make_optimizer(groups: Sequence[Group], settings: OptimizerConfig) -> torch.optim.Optimizer:
    """The optimizer of the config, fused. To be stepped in eager mode: it stands outside of what
    is compiled.
    """
    listed = list(groups)
    if settings.kind == "sgd":
        sgd = cast("SgdConfig", settings)
        return _eager(torch.optim.SGD)(
            listed, lr=sgd.lr, momentum=sgd.momentum, nesterov=sgd.nesterov, fused=True
        )
    adam = cast("AdamConfig", settings)
    cls = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.kind]
    return _eager(cls)(listed, lr=adam.lr, betas=adam.betas, eps=adam.eps, fused=True)


def set_rates(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """The learning rate of the update that comes next, in every group by its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("rate", 1.0)  # an earlier checkpoint has none


def apply_bounds(network: Network, parameter: Callable[[str], Tensor]) -> None:
    """Clip what a method's paper bounds, after an update. parameter: by name."""
    for name, rule in network.rules.items():
        if rule.low is not None or rule.high is not None:
            parameter(name).data.clamp_(rule.low, rule.high)


@functools.cache
def _eager(cls: type[torch.optim.Optimizer]) -> Any:
    """The same optimizer less what only concerns the compiler.

    PyTorch marks these methods as not to be compiled, and imports ``torch._dynamo`` for it when
    the first of them is called, which takes as long as importing torch.
    """
    marked = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")
    methods = {name: inspect.unwrap(getattr(cls, name)) for name in marked}
    step = torch.no_grad()(inspect.unwrap(cls.step))
    return type(cls.__name__, (cls,), {**methods, "step": step})


def full_rate(config: OptimizerConfig, batch_size: int) -> float:
    """The learning rate after warmup: in proportion to the batch size where the config says so.

    The linear scaling rule of Goyal et al. 2017, arXiv:1706.02677.
    """
    return config.lr * batch_size / (config.reference_batch_size or batch_size)


def learning_rate(config: OptimizerConfig, full: float, step: int, steps: int) -> float:
    """The learning rate of update ``step`` (from 0) of ``steps``, ``full`` after warmup.

    Warmup rises linearly and reaches the full rate with its last step; what follows is constant,
    half a cosine to 0, or a straight line to 0.
    """
    if step < config.warmup_steps:
        return full * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    if config.schedule == "cosine":
        return full * 0.5 * (1 + math.cos(math.pi * done))
    if config.schedule == "linear":
        return full * (1 - done)
    return full
