"""Optimizers that PyTorch does not have as they are needed here."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor

QUINTIC = (3.4445, -4.775, 2.0315)
"""a, b, c of p(x) = a x + b x^3 + c x^5, which Muon takes of singular values (Jordan et al.)."""
ITERATIONS = 5
LEAST = 1e-7
"""Length of a matrix below which it counts as so long."""


class UpdateRule(torch.optim.Optimizer):
    """An optimizer that keeps one momentum a parameter, of its shape, from zero.

    kept: its name in the state.
    """

    kept: ClassVar[str] = "momentum"

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient, after decoupled weight decay."""
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state[self.kept] = torch.zeros_like(parameter)
                update = self.update(parameter.grad, state[self.kept], group)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"])

    def update(self, gradient: Tensor, momentum: Tensor, group: Mapping[str, Any]) -> Tensor:
        """What is taken off at rate 1; changes the momentum in place."""
        raise NotImplementedError


class Lion(UpdateRule):
    """The sign of a mixture of momentum and gradient, with decoupled weight decay.

        update = sign(beta1 m + (1 - beta1) g)
        w <- w - lr (update + weight_decay w)
        m <- beta2 m + (1 - beta2) g

    m starts at zero. Chen, Liang, Huang, Real, Wang, Liu, Pham, Dong, Luong, Hsieh, Lu & Le 2023,
    arXiv:2302.06675, algorithm 2. Where momentum and gradient are zero, nothing moves.
    """

    def __init__(self, params: Any, lr: float, betas: tuple[float, float]):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": 0.0})

    def update(self, gradient: Tensor, momentum: Tensor, group: Mapping[str, Any]) -> Tensor:
        beta1, beta2 = group["betas"]
        update = momentum.lerp(gradient, 1 - beta1).sign_()
        momentum.lerp_(gradient, 1 - beta2)
        return update


class StackedMuon(UpdateRule):
    """``torch.optim.Muon`` of the same matrix of several runs at once, [K, out, in].

    Every matrix is orthogonalized by itself, as there in bfloat16. match: whether updates have the
    size of AdamW's, Liu et al. 2025, arXiv:2502.16982; else that of Jordan et al. 2024.
    """

    kept = "momentum_buffer"  # as there: a run may leave its stack and go on alone

    def __init__(self, params: Any, lr: float, momentum: float, nesterov: bool, match: bool):
        own = {"momentum": momentum, "nesterov": nesterov, "match": match}
        super().__init__(params, {"lr": lr, "weight_decay": 0.0, **own})

    def update(self, gradient: Tensor, momentum: Tensor, group: Mapping[str, Any]) -> Tensor:
        momentum.lerp_(gradient, 1 - group["momentum"])
        mixed = gradient.lerp(momentum, group["momentum"]) if group["nesterov"] else momentum
        _, rows, columns = gradient.shape
        if group["match"]:
            size = 0.2 * math.sqrt(max(rows, columns))
        else:
            size = math.sqrt(max(1, rows / columns))
        return orthogonalized(mixed).to(gradient.dtype) * size


def orthogonalized(stack: Tensor) -> Tensor:
    """Each matrix of [K, out, in] with singular values near 1, in bfloat16."""
    a, b, c = QUINTIC
    tall = stack.shape[1] > stack.shape[2]
    x = stack.bfloat16()
    x = x.mT if tall else x
    x = x / torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True).clamp_min(LEAST)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Both:
    """Several optimizers, each for its own parameters, as one."""

    def __init__(self, parts: Mapping[str, torch.optim.Optimizer]):
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all."""
        return [group for part in self.parts.values() for group in part.param_groups]

    @property
    def state(self) -> MutableMapping[Tensor, Any]:
        """Parameter -> what is kept of it."""
        return _Kept(self.parts.values())

    def zero_grad(self, set_to_none: bool = True) -> None:
        """As PyTorch's."""
        for part in self.parts.values():
            part.zero_grad(set_to_none=set_to_none)

    def step(self) -> None:
        """One update."""
        for part in self.parts.values():
            part.step()

    def state_dict(self) -> dict[str, Any]:
        """That of each, by its name."""
        return {name: part.state_dict() for name, part in self.parts.items()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """The inverse."""
        for name, part in self.parts.items():
            part.load_state_dict(state_dict[name])


class _Kept(MutableMapping[Tensor, Any]):
    """What several optimizers keep, each of its own parameters."""

    def __init__(self, parts: Iterable[torch.optim.Optimizer]):
        self.parts = list(parts)

    def _of(self, parameter: Tensor) -> MutableMapping[Tensor, Any]:
        for part in self.parts:
            if any(parameter is own for group in part.param_groups for own in group["params"]):
                return part.state
        raise KeyError(parameter)

    def __getitem__(self, parameter: Tensor) -> Any:
        return self._of(parameter)[parameter]

    def __setitem__(self, parameter: Tensor, kept: Any) -> None:
        self._of(parameter)[parameter] = kept

    def __delitem__(self, parameter: Tensor) -> None:
        del self._of(parameter)[parameter]

    def __iter__(self) -> Iterator[Tensor]:
        return chain.from_iterable(part.state for part in self.parts)

    def __len__(self) -> int:
        return sum(len(part.state) for part in self.parts)
