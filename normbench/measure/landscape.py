"""The loss around a network: along its gradient, its sharpest curvature, and the gradient's noise.

Every function here looks on: parameters, gradients and running statistics keep their bits, since
the network is evaluated on copies of them (``torch.func.functional_call``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

Loss = Callable[[Tensor, Tensor], Tensor]
Named = dict[str, Tensor]


@dataclass(frozen=True)
class Landscape:
    """The loss and its gradient at w - step_length * gradient(w), for each step length.

    Santurkar et al. 2018, arXiv:1805.11604, section 3.1. ``losses``; ``gradient_distances``: the
    l2 distance of the gradient there from the one at w (gradient predictiveness; small is good).
    """

    loss: float
    gradient_norm: float
    step_lengths: tuple[float, ...]
    losses: tuple[float, ...]
    gradient_distances: tuple[float, ...]

    @property
    def loss_range(self) -> tuple[float, float]:
        """The smallest and the largest loss along the path, its start included."""
        return min(self.loss, *self.losses), max(self.loss, *self.losses)

    @property
    def gradient_distance_range(self) -> tuple[float, float]:
        """The smallest and the largest distance of the gradient from the one at the start."""
        return min(self.gradient_distances), max(self.gradient_distances)

    @property
    def effective_smoothness(self) -> float:
        """Largest distance of gradients over distance of weights along the path; NaN at a minimum.

        A lower bound of the constant beta of a beta-smooth loss, in the gradient's direction.
        """
        if self.gradient_norm == 0:
            return float("nan")
        return max(
            distance / (abs(step) * self.gradient_norm)
            for step, distance in zip(self.step_lengths, self.gradient_distances, strict=True)
        )


@dataclass(frozen=True)
class Eigenvalue:
    """``value`` with its sign; ``residual`` is |Hv - value v| / |value|, which bounds the relative
    distance to the nearest true eigenvalue; ``converged``: the residual fell to the tolerance."""

    value: float
    residual: float
    iterations: int
    converged: bool


@dataclass(frozen=True)
class GradientNoise:
    """Mini-batch gradients g_1..g_k of batch size B around their mean.

    scale: B * variance / mean_square, in examples: the batch size at which noise and signal are
    level; None when the mean cannot be told from zero (``mean_square`` <= 0: more batches needed).
    variance: sum over parameters of the unbiased variance of g_i. mean_square: unbiased estimate
    of |E g|^2, that is |mean g|^2 - variance / k.
    """

    scale: float | None
    variance: float
    mean_square: float
    batches: int
    batch_size: int


def landscape(
    network: nn.Module,
    x: Tensor,
    y: Tensor,
    step_lengths: Sequence[float],
    loss: Loss = F.cross_entropy,
) -> Landscape:
    """Loss and gradient along the negative gradient, on the batch (x, y), in the network's mode.

    step_lengths: multiples of the gradient, as learning rates are; none of them 0. Raises
    ValueError otherwise.
    """
    steps = tuple(float(step) for step in step_lengths)
    if not steps or 0.0 in steps:
        raise ValueError("step_lengths must hold at least one length, and none of them 0")
    start = _parameters(network)
    value, gradient = _value_and_gradient(network, start, x, y, loss)
    losses, distances = [], []
    for step in steps:
        moved = {
            name: (p.detach() - step * g).requires_grad_()
            for (name, p), g in zip(start.items(), gradient, strict=True)
        }
        there, gradient_there = _value_and_gradient(network, moved, x, y, loss)
        losses.append(there)
        pairs = zip(gradient_there, gradient, strict=True)
        distances.append(_norm([a - b for a, b in pairs]))
    return Landscape(
        float(value),
        float(_norm(gradient)),
        steps,
        tuple(float(v) for v in losses),
        tuple(float(v) for v in distances),
    )


def largest_hessian_eigenvalue(
    network: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    rng: np.random.Generator,
    iterations: int = 100,
    tol: float = 1e-3,
    loss: Loss = F.cross_entropy,
) -> Eigenvalue:
    """The Hessian's eigenvalue of largest magnitude (not: the most positive one), with its sign.

    Power iteration on Hessian-vector products of the loss on (x, y) over all parameters, starting
    from a normal vector of ``rng``. Stops at a relative residual of ``tol`` or after
    ``iterations`` products; two eigenvalues of nearly equal magnitude and opposite sign converge
    slowly, which ``converged`` and ``residual`` tell.
    """
    parameters = _parameters(network)
    leaves = list(parameters.values())
    # PyTorch's fused kernels of attention cannot be differentiated twice.
    with sdpa_kernel(SDPBackend.MATH):
        value = loss(functional_call(network, {**parameters, **_buffers(network)}, (x,)), y)
    gradient = torch.autograd.grad(value, leaves, create_graph=True, materialize_grads=True)
    v = [torch.from_numpy(rng.standard_normal(tuple(p.shape))).to(p) for p in leaves]
    v = _scaled(v, 1 / _norm(v))
    eigenvalue = residual = float("nan")
    done = 0
    for done in range(1, iterations + 1):
        product = torch.autograd.grad(
            gradient, leaves, v, retain_graph=True, materialize_grads=True
        )
        along = sum(torch.sum(a * b, dtype=torch.float64) for a, b in zip(product, v, strict=True))
        eigenvalue = float(along)
        length = _norm(product)
        if float(length) == 0:  # v lies in the null space: a flat loss
            return Eigenvalue(0.0, 0.0, done, True)
        off = _norm([a - eigenvalue * b for a, b in zip(product, v, strict=True)])
        residual = float(off) / abs(eigenvalue) if eigenvalue else float("inf")
        if residual <= tol:
            break
        v = _scaled(product, 1 / length)
    return Eigenvalue(eigenvalue, residual, done, residual <= tol)


def gradient_noise(
    network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], loss: Loss = F.cross_entropy
) -> GradientNoise:
    """The gradient noise scale B_simple = tr(covariance) / |gradient|^2, across mini-batches.

    McCandlish et al. 2018, arXiv:1812.06162, section 2.2; here estimated from the variance between
    whole mini-batches times the batch size, with the mean's own noise taken off |mean|^2. No
    per-example gradients: under batch norm there are none. Batches have one size, and there are
    two or more; raises ValueError otherwise.
    """
    parameters = _parameters(network)
    total: Tensor | None = None
    squares = torch.zeros((), dtype=torch.float64)
    sizes: list[int] = []
    for x, y in batches:
        _, gradient = _value_and_gradient(network, parameters, x, y, loss)
        flat = torch.cat([g.reshape(-1).double() for g in gradient])
        total = flat if total is None else total + flat
        squares = squares.to(flat.device) + flat.square().sum()
        sizes.append(len(x))
    count = len(sizes)
    if total is None or count < 2 or len(set(sizes)) > 1:
        raise ValueError(f"gradient noise needs two or more batches of one size, not {sizes}")
    mean_square_of_mean = float((total / count).square().sum())
    variance = (float(squares) - count * mean_square_of_mean) / (count - 1)
    mean_square = mean_square_of_mean - variance / count
    scale = sizes[0] * variance / mean_square if mean_square > 0 else None
    return GradientNoise(scale, variance, mean_square, count, sizes[0])


def _parameters(network: nn.Module) -> Named:
    return {name: p.detach().clone().requires_grad_() for name, p in network.named_parameters()}


def _buffers(network: nn.Module) -> Named:
    """Copies: a batch norm in training mode writes its running statistics."""
    return {name: b.detach().clone() for name, b in network.named_buffers()}


def _value_and_gradient(
    network: nn.Module, parameters: Named, x: Tensor, y: Tensor, loss: Loss
) -> tuple[Tensor, tuple[Tensor, ...]]:
    value = loss(functional_call(network, {**parameters, **_buffers(network)}, (x,)), y)
    gradient = torch.autograd.grad(value, list(parameters.values()), materialize_grads=True)
    return value.detach(), gradient


def _norm(tensors: Sequence[Tensor]) -> Tensor:
    """The l2 norm of all entries together, summed in float64. A scalar."""
    return torch.stack([torch.sum(t.detach().double() ** 2) for t in tensors]).sum().sqrt()


def _scaled(tensors: Sequence[Tensor], factor: Tensor) -> list[Tensor]:
    return [t * factor.to(t.dtype) for t in tensors]
