"""Optimizers and learning-rate schedules."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

import torch
from torch import Tensor

from normbench.errors import ConfigError, Problem
from normbench.models.network import NO_MATRIX, Network
from normbench.models.roles import Role
from normbench.norms import Rule
from normbench.training.update_rules import Both, Lion, StackedMuon

if TYPE_CHECKING:
    from normbench.config import AdamConfig, LionConfig, MuonConfig, OptimizerConfig, SgdConfig

Group = dict[str, Any]

LONGEST = 200
"""Letters of a sentence in a manifest."""


class Optimizer(Protocol):
    """What of an optimizer of PyTorch's training uses."""

    @property
    def param_groups(self) -> list[Group]: ...
    @property
    def state(self) -> Any: ...
    def zero_grad(self, set_to_none: bool = True) -> None: ...
    def step(self) -> Any: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


def is_decayed(role: Role, rule: Rule, settings: OptimizerConfig) -> bool:
    """Whether weight decay pulls on a parameter.

    On the weights of Linear and Conv layers, and with ``decay_norms`` on those of norms, whatever
    their shape; but where the method's paper says whether, as it says.
    """
    if rule.decay is not None:
        return rule.decay
    return role == "weight" or (role == "norm" and settings.decay_norms)


def parameter_groups(
    network: Network, parameters: Mapping[str, Tensor], settings: OptimizerConfig
) -> list[Group]:
    """``parameters`` by name, of one run or of a stack, by how they are updated.

    ``rate`` is the factor on the learning rate that a method's paper fixes; ``matrix`` tells the
    weights that muon orthogonalizes. Raises ConfigError where muon finds none.
    """
    groups: dict[tuple[float, bool, bool], list[Tensor]] = {
        (1.0, True, False): [],
        (1.0, False, False): [],
    }
    muon = settings.kind == "muon"
    matrices = network.hidden_matrices() if muon else frozenset()
    if muon and not matrices:
        raise ConfigError([Problem("optimizer.kind", NO_MATRIX)])
    for name, parameter in parameters.items():
        rule = network.rules.get(name, Rule())
        decayed = is_decayed(network.roles[name], rule, settings)
        groups.setdefault((rule.rate, decayed, name in matrices), []).append(parameter)
    return [
        {
            "params": group,
            "weight_decay": settings.weight_decay if decayed else 0.0,
            "rate": rate,
            **({"matrix": True} if matrix else {}),
        }
        for (rate, decayed, matrix), group in groups.items()
        if group
    ]


def own_terms(network: Network, settings: OptimizerConfig) -> tuple[str, ...]:
    """What the method's paper fixes, so that it is not as for other norms, in words.

    Initial values of the backbone, and by parameter rate, bounds, and decay where this optimizer
    would do otherwise.
    """
    told = []
    if names := network.reinitialized:
        of = names[0] if len(names) == 1 else f"{len(names)} parameters"
        because = network.method.why_reinitialized()
        told.append(f"other values at the start of {of}{f': {because}' if because else ''}")
    alike: dict[str, dict[str, None]] = {}  # what is fixed -> of which parameters, each once
    for name, rule in network.rules.items():
        plain = is_decayed(network.roles[name], Rule(), settings)
        acts = settings.weight_decay > 0 and rule.decay not in (None, plain)
        if text := (rule if acts else replace(rule, decay=None)).text:
            alike.setdefault(text, {})[name.rpartition(".")[2]] = None
    told += [f"{' and '.join(names)} with {text}" for text, names in alike.items()]
    return tuple(" ".join(text.split())[:LONGEST] for text in told)


def make_optimizer(groups: Sequence[Group], settings: OptimizerConfig) -> Optimizer:
    """The optimizer of the config, fused where PyTorch has that: not for complex parameters. To be
    stepped in eager mode: it stands outside of what is compiled.
    """
    listed = list(groups)
    fused = all(p.is_floating_point() for group in listed for p in group["params"])
    if settings.kind == "sgd":
        sgd = cast("SgdConfig", settings)
        return _eager(torch.optim.SGD)(
            listed, lr=sgd.lr, momentum=sgd.momentum, nesterov=sgd.nesterov, fused=fused
        )
    if settings.kind == "lion":
        lion = cast("LionConfig", settings)
        return _eager(Lion)(listed, lr=lion.lr, betas=lion.betas)
    if settings.kind == "muon":
        return _muon(listed, cast("MuonConfig", settings), fused=fused)
    adam = cast("AdamConfig", settings)
    cls = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.kind]
    return _eager(cls)(listed, lr=adam.lr, betas=adam.betas, eps=adam.eps, fused=fused)


def _muon(groups: Sequence[Group], settings: MuonConfig, *, fused: bool) -> Optimizer:
    matrices = [group for group in groups if group.get("matrix")]
    common = {"lr": settings.lr, "momentum": settings.momentum, "nesterov": settings.nesterov}
    match = settings.match == "adamw"
    if any(p.ndim > 2 for group in matrices for p in group["params"]):  # of several runs
        muon = _eager(StackedMuon)(matrices, **common, match=match)
    else:
        size = "match_rms_adamw" if match else "original"
        muon = _eager(torch.optim.Muon)(matrices, **common, adjust_lr_fn=size)
    factor = 1.0 if settings.adamw_lr is None else settings.adamw_lr / settings.lr
    adamw = _eager(torch.optim.AdamW)(
        [{**g, "rate": g["rate"] * factor} for g in groups if not g.get("matrix")],
        lr=settings.lr,
        betas=settings.betas,
        eps=settings.eps,
        fused=fused,
    )
    return Both({"muon": muon, "adamw": adamw})


def set_rates(optimizer: Optimizer, rate: float) -> None:
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
