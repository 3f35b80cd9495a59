"""Optimizers that PyTorch does not have as they are needed here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class Lion(torch.optim.Optimizer):
    """The sign of a mixture of momentum and gradient, with decoupled weight decay.

        update = sign(beta1 m + (1 - beta1) g)
        w <- w - lr (update + weight_decay w)
        m <- beta2 m + (1 - beta2) g

    m starts at zero. Chen, Liang, Huang, Real, Wang, Liu, Pham, Dong, Luong, Hsieh, Lu & Le 2023,
    arXiv:2302.06675, algorithm 2. Where momentum and gradient are zero, nothing moves.
    """

    def __init__(self, params: Any, lr: float, betas: tuple[float, float]):
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": 0.0})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One update of every parameter that has a gradient."""
        for group in self.param_groups:
            lr, (beta1, beta2) = group["lr"], group["betas"]
            for parameter in group["params"]:
                gradient = parameter.grad
                if gradient is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                momentum = state["momentum"]
                update = momentum.lerp(gradient, 1 - beta1).sign_()
                parameter.mul_(1 - lr * group["weight_decay"])
                parameter.add_(update, alpha=-lr)
                momentum.lerp_(gradient, 1 - beta2)


class Both:
    """Several optimizers, each for its own parameters, as one."""

    def __init__(self, parts: Mapping[str, torch.optim.Optimizer]):
        self.parts = parts

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all."""
        return [group for part in self.parts.values() for group in part.param_groups]

    @property
    def state(self) -> dict[Any, Any]:
        """Parameter -> what is kept of it."""
        return {p: kept for part in self.parts.values() for p, kept in part.state.items()}

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
