"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from normbench.config import AdamConfig, AdamWConfig, OptimizerConfig, SgdConfig
from normbench.models.roles import roles


def parameter_names(network: nn.Module) -> tuple[list[str], list[str]]:
    """The names of the parameters that weight decay pulls on, and of the others.

    Weight decay is applied to the weights of Linear and Conv layers alone, so that a norm's own
    parameters, which differ between norms, are never pulled towards zero, whatever their shape.
    """
    found = roles(network)
    decayed = [name for name, role in found.items() if role == "weight"]
    return decayed, [name for name, role in found.items() if role != "weight"]


def make_optimizer(
    decayed: Sequence[Tensor], plain: Sequence[Tensor], config: OptimizerConfig
) -> torch.optim.Optimizer:
    """The optimizer of the config, fused; weight decay is for ``decayed`` alone.

    To be stepped in eager mode: it stands outside what is compiled.
    """
    groups = [
        {"params": list(decayed), "weight_decay": config.weight_decay},
        {"params": list(plain), "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if isinstance(config, SgdConfig):
        return _eager(torch.optim.SGD)(
            groups,
            lr=config.lr,
            momentum=config.momentum,
            nesterov=config.nesterov,
            fused=True,
        )
    assert isinstance(config, AdamConfig)
    cls = torch.optim.AdamW if isinstance(config, AdamWConfig) else torch.optim.Adam
    return _eager(cls)(groups, lr=config.lr, betas=config.betas, eps=config.eps, fused=True)


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
