"""The landscape measures against plain autograd, closed forms and a dense Hessian."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from normbench.measure.landscape import gradient_noise, landscape, largest_hessian_eigenvalue
from normbench.models import MODELS, ModelSettings
from normbench.models.assemble import anatomy, assemble, problem_of
from normbench.models.network import Blueprint
from normbench.norms import NORMS, NormPolicy, make_method
from normbench.seeding import stream

IMAGE = (4, 4, 1)


def blueprint(layout: str) -> Blueprint:
    model = "mlp" if layout == "flat" else "cnn"
    small = {"depth": 3, "width": 4} if layout == "flat" else {"depth": 4, "stages": 2, "width": 2}
    return Blueprint(model, MODELS[model].Options(**small), ModelSettings(activation="tanh"))


def network(kind: str, layout: str = "flat") -> nn.Module:
    method = make_method(kind, NormPolicy(), **groups(kind))
    return assemble(blueprint(layout), method, IMAGE, 3, 0).module


def groups(kind: str) -> dict[str, int]:
    return {"groups": 2} if "groups" in NORMS[kind].Options.__dataclass_fields__ else {}


def batch(layout: str = "flat", size: int = 8, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    rng = stream(seed, "batch")
    shape = (size, 16) if layout == "flat" else (size, 1, 4, 4)
    x = rng.standard_normal(shape).astype(np.float32)
    return torch.from_numpy(x), torch.from_numpy(rng.integers(0, 3, size))


def cases() -> list[tuple[str, str]]:
    """Every norm that fits a chain, on features where it can stand there."""
    found = []
    for kind in NORMS:
        method = make_method(kind, NormPolicy(), **groups(kind))
        for layout in ("flat", "image"):
            plan = blueprint(layout)
            if problem_of(plan, anatomy(plan, IMAGE, 3), method, 8) is None:
                found.append((kind, layout))
                break
    return found


class Quadratic(nn.Module):
    """loss = w^T A w / 2, whose gradient is A w and whose Hessian is A."""

    def __init__(self, matrix: torch.Tensor, start: torch.Tensor):
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.w = nn.Parameter(start.clone())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w @ self.matrix @ self.w / 2


def as_it_is(value: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return value


NOTHING = torch.zeros(1)


def test_the_landscape_of_a_quadratic_is_its_closed_form():
    matrix = torch.diag(torch.tensor([1.0, 3.0], dtype=torch.float64))
    w = torch.tensor([2.0, -1.0], dtype=torch.float64)
    steps = (0.1, 0.5, 2.0)
    found = landscape(Quadratic(matrix, w), NOTHING, NOTHING, steps, as_it_is)
    gradient = matrix @ w
    for step, loss, distance in zip(steps, found.losses, found.gradient_distances, strict=True):
        there = w - step * gradient
        assert loss == pytest.approx(float(there @ matrix @ there / 2))
        assert distance == pytest.approx(float((matrix @ there - gradient).norm()))
    smoothness = float((matrix @ gradient).norm() / gradient.norm())
    assert found.effective_smoothness == pytest.approx(smoothness)
    assert found.loss_range == (min(found.loss, *found.losses), max(found.loss, *found.losses))


@pytest.mark.parametrize(("kind", "layout"), cases())
def test_the_landscape_equals_plain_autograd_on_a_moved_network(kind, layout):
    x, y = batch(layout)
    found = landscape(network(kind, layout), x, y, (0.3,))
    moved = network(kind, layout)
    loss = F.cross_entropy(moved(x), y)
    loss.backward()
    before = [p.grad.clone() for p in moved.parameters()]
    with torch.no_grad():
        for p in moved.parameters():
            p -= 0.3 * p.grad
            p.grad = None
    there = F.cross_entropy(moved(x), y)
    there.backward()
    distance = sum(
        float((p.grad - g).double().square().sum())
        for p, g in zip(moved.parameters(), before, strict=True)
    )
    assert found.loss == loss.item()
    assert found.losses[0] == pytest.approx(there.item(), rel=1e-6)
    assert found.gradient_distances[0] == pytest.approx(distance**0.5, rel=1e-4)


@pytest.mark.parametrize(("kind", "layout"), cases())
def test_looking_leaves_every_bit_of_the_network_alone(kind, layout):
    net = network(kind, layout)
    x, y = batch(layout)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    landscape(net, x, y, (0.1, 1.0))
    largest_hessian_eigenvalue(net, x, y, rng=stream(0, "hessian"), iterations=3)
    gradient_noise(net, [(x, y), (x, y)])
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


def hessian(gradient: torch.Tensor, parameters: list[nn.Parameter]) -> torch.Tensor:
    """Every second derivative: all rows at once, or one by one for what knows no vmap."""
    more = {"retain_graph": True, "materialize_grads": True}
    unit = torch.eye(len(gradient), dtype=gradient.dtype)
    try:
        columns = torch.autograd.grad(gradient, parameters, unit, is_grads_batched=True, **more)
    except RuntimeError:
        rows = [torch.autograd.grad(entry, parameters, **more) for entry in gradient]
        columns = tuple(torch.stack(parts) for parts in zip(*rows, strict=True))
    return torch.cat([part.reshape(len(gradient), -1) for part in columns], 1)


@pytest.mark.parametrize(("kind", "layout"), cases())
def test_the_largest_eigenvalue_agrees_with_a_dense_hessian(kind, layout):
    net = network(kind, layout).double()
    x, y = batch(layout)
    x = x.double()
    parameters = dict(net.named_parameters())
    gradient = torch.autograd.grad(
        F.cross_entropy(net(x), y), list(parameters.values()), create_graph=True
    )
    flat = torch.cat([g.reshape(-1) for g in gradient])
    values = torch.linalg.eigvalsh(hessian(flat, list(parameters.values())))
    largest = float(values[values.abs().argmax()])
    found = largest_hessian_eigenvalue(
        net, x, y, rng=stream(0, "hessian"), iterations=2000, tol=1e-3
    )
    assert found.converged
    assert found.value == pytest.approx(largest, rel=0.01)


class Attends(nn.Module):
    """Attention by PyTorch's function, or by its formula."""

    def __init__(self, by_formula: bool):
        super().__init__()
        self.by_formula = by_formula
        draw = torch.Generator().manual_seed(0)
        self.w = nn.Parameter(torch.randn(3, 4, 4, generator=draw))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (x.view(-1, 4, 4) @ w for w in self.w)
        if self.by_formula:
            return (torch.softmax(q @ k.mT / 2, -1) @ v).mean(1)
        return F.scaled_dot_product_attention(q, k, v).mean(1)


def test_attention_has_the_curvature_of_its_formula():
    x, y = batch()
    one, other = (
        largest_hessian_eigenvalue(Attends(by_formula), x, y, rng=stream(0, "h"), iterations=20)
        for by_formula in (False, True)
    )
    assert one.value == pytest.approx(other.value, rel=1e-4)


def test_a_negative_eigenvalue_of_largest_magnitude_is_found_with_its_sign():
    net = Quadratic(torch.diag(torch.tensor([1.0, -4.0, 2.0])), torch.ones(3))
    found = largest_hessian_eigenvalue(net, NOTHING, NOTHING, rng=stream(0, "h"), loss=as_it_is)
    assert found.value == pytest.approx(-4.0, rel=1e-3)


def test_an_eigenvalue_that_has_not_settled_says_so():
    net = Quadratic(torch.diag(torch.tensor([1.0, -1.0])), torch.ones(2))
    found = largest_hessian_eigenvalue(
        net, NOTHING, NOTHING, rng=stream(0, "h"), iterations=20, loss=as_it_is
    )
    assert not found.converged


class Shift(nn.Module):
    def __init__(self, w: torch.Tensor):
        super().__init__()
        self.w = nn.Parameter(w)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.w - x


def half_square(residual: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    return residual.square().sum(1).mean() / 2


def test_the_noise_scale_of_gaussian_gradients_is_the_known_one():
    # The gradient is w - mean(x): covariance of one example is 4 I in 6 dimensions.
    rng = stream(0, "noise")
    w = torch.full((6,), 1.0, dtype=torch.float64)
    batches = [(torch.from_numpy(2 * rng.standard_normal((5, 6))), NOTHING) for _ in range(4000)]
    found = gradient_noise(Shift(w), batches, half_square)
    assert found.variance == pytest.approx(4 * 6 / 5, rel=0.03)
    assert found.mean_square == pytest.approx(6.0, rel=0.03)
    assert found.scale == pytest.approx(4.0, rel=0.05)


def test_a_mean_gradient_lost_in_the_noise_has_no_scale():
    x = torch.tensor([[1.0], [1.0]])
    found = gradient_noise(Shift(torch.zeros(1)), [(x, NOTHING), (-x, NOTHING)], half_square)
    assert found.scale is None


@pytest.mark.parametrize("sizes", [[], [4], [4, 3]])
def test_gradient_noise_needs_two_batches_of_one_size(sizes):
    batches = [(torch.zeros(size, 1), NOTHING) for size in sizes]
    with pytest.raises(ValueError, match="two or more batches of one size"):
        gradient_noise(Shift(torch.zeros(1)), batches, half_square)


@pytest.mark.parametrize("steps", [(), (0.0, 1.0)])
def test_step_lengths_must_lead_somewhere(steps):
    with pytest.raises(ValueError, match="step_lengths"):
        landscape(Shift(torch.zeros(1)), torch.zeros(1, 1), NOTHING, steps, half_square)
