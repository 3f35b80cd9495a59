"""Initial weights against the published variances, on layers wide enough to tell."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.models import INITS, MODELS, ModelSettings, NormSite
from normbench.models.assemble import assemble
from normbench.models.base import Architecture
from normbench.models.init import initialize
from normbench.models.network import Blueprint
from normbench.norms import make_method
from normbench.seeding import stream

SHAPES = {
    "square": lambda: nn.Linear(400, 400),
    "narrowing": lambda: nn.Linear(784, 160),
    "widening": lambda: nn.Linear(160, 784),
    "conv": lambda: nn.Conv2d(48, 80, 3),
}
NORMAL = {
    "he_normal": lambda fan_in, fan_out: 2 / fan_in,
    "xavier_normal": lambda fan_in, fan_out: 2 / (fan_in + fan_out),
    "lecun_normal": lambda fan_in, fan_out: 1 / fan_in,
}


def layer(shape: str, init: str, seed: int = 0) -> nn.Module:
    network = nn.Sequential(SHAPES[shape]())
    initialize(network, init, seed, {})
    return network[0]


def fans(weight: Tensor) -> tuple[int, int]:
    positions = math.prod(weight.shape[2:])
    return weight.shape[1] * positions, weight.shape[0] * positions


def test_every_initialization_has_a_test_here():
    assert set(INITS) == {*NORMAL, "torch_default", "orthogonal"}


@pytest.mark.parametrize("shape", list(SHAPES))
@pytest.mark.parametrize("init", list(NORMAL))
def test_a_normal_initialization_has_the_variance_of_its_paper(shape, init):
    weight = layer(shape, init).weight.detach().double()
    variance = NORMAL[init](*fans(weight))
    n = weight.numel()
    # Five standard errors of the mean and of the variance of n normal numbers.
    assert abs(weight.mean()) < 5 * math.sqrt(variance / n)
    assert weight.var().item() == pytest.approx(variance, rel=5 * math.sqrt(2 / n))
    kurtosis = (weight**4).mean() / (weight**2).mean() ** 2
    assert kurtosis.item() == pytest.approx(3, abs=5 * math.sqrt(24 / n))


@pytest.mark.parametrize("shape", list(SHAPES))
def test_the_default_of_pytorch_is_uniform_in_weights_and_biases(shape):
    module = layer(shape, "torch_default")
    bound = 1 / math.sqrt(fans(module.weight)[0])
    for values in (module.weight.detach().double(), module.bias.detach().double()):
        n = values.numel()
        assert values.abs().max() <= bound
        assert values.abs().max() > bound * (1 - 20 / n)
        # The variance of a uniform's sample variance: (kurtosis 9/5 - 1) / n.
        assert values.var().item() == pytest.approx(bound**2 / 3, rel=5 * math.sqrt(0.8 / n))


@pytest.mark.parametrize("shape", list(SHAPES))
def test_the_default_of_pytorch_is_what_pytorch_itself_draws_from(shape):
    ours = layer(shape, "torch_default")
    torch.manual_seed(0)
    theirs = SHAPES[shape]()
    assert ours.weight.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.02)
    assert ours.bias.std().item() == pytest.approx(theirs.bias.std().item(), rel=0.3)


@pytest.mark.parametrize(
    "module",
    [nn.Linear(60, 60), nn.Linear(90, 40), nn.Linear(40, 90), nn.Conv2d(6, 70, 3)],
    ids=["square", "narrowing", "widening", "conv"],
)
def test_orthogonal_weights_have_orthonormal_rows_or_columns(module):
    initialize(nn.Sequential(module), "orthogonal", 0, {})
    weight = module.weight.detach().double()
    matrix = weight.reshape(len(weight), -1)
    rows, columns = matrix.shape
    product = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    assert torch.allclose(product, torch.eye(min(rows, columns)).double(), atol=1e-5)


def test_orthogonal_weights_favour_no_direction():
    # Without the sign correction the diagonal of Q is biased (Mezzadri 2007, math-ph/0609050).
    module, diagonals = nn.Linear(30, 30), []
    for seed in range(100):
        initialize(nn.Sequential(module), "orthogonal", seed, {})
        diagonals.append(module.weight.detach().diagonal().clone())
    # An entry of a random rotation of size 30 has mean 0 and variance 1/30.
    assert abs(torch.cat(diagonals).mean()) < 5 / math.sqrt(30 * 100 * 30)


@pytest.mark.parametrize("init", [*NORMAL, "orthogonal"])
def test_biases_start_at_zero(init):
    assert not layer("conv", init).bias.any()


def test_a_parametrized_weight_is_drawn_as_the_plain_one_is():
    plain = nn.Sequential(nn.Linear(6, 4))
    held = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(6, 4)))
    initialize(plain, "he_normal", 0, {})
    drawn = initialize(held, "he_normal", 0, {})
    torch.testing.assert_close(held[0].weight, plain[0].weight)
    assert drawn == {name for name, _ in held.named_parameters()}


class Own(nn.Module):
    """A scale and a mix that nobody draws, a norm, and an activation with a slope of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.flat = nn.Flatten()
        self.linear = nn.Linear(4, 3)
        self.norm = NormSite(3)
        self.activation = nn.PReLU()
        self.scale = nn.Parameter(torch.randn(1))
        self.mix = nn.Bilinear(3, 3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm(self.linear(self.flat(x))))
        return self.mix(x, x) * self.scale


class Undrawn(Architecture):
    @classmethod
    def build(cls, options, settings, image_shape, num_classes):
        return Own()


class Drawn(Undrawn):
    @classmethod
    def drawn(cls, network):
        return {"scale": 0.5, "mix.weight": 2.0, "mix.bias": 0.0}


def assembled(kind: str, architecture: type[Architecture], monkeypatch, seed: int = 0) -> nn.Module:
    monkeypatch.setitem(MODELS._items, kind, architecture)
    blueprint = Blueprint(kind, architecture.Options(), ModelSettings())
    return assemble(blueprint, make_method("none"), (2, 2, 1), 3, seed).module


def test_a_parameter_that_nobody_draws_is_an_error_that_names_it(monkeypatch):
    with pytest.raises(ConfigError) as caught:
        assembled("undrawn", Undrawn, monkeypatch)
    (problem,) = caught.value.problems
    assert problem.path == "model.init"
    assert problem.message.endswith("nobody draws scale, mix.weight, mix.bias")
    assert "init: module" in problem.hint


def test_what_an_architecture_draws_besides_comes_from_the_stream_of_its_name(monkeypatch):
    one, again, other = (assembled("drawn", Drawn, monkeypatch, seed) for seed in (0, 0, 1))
    rng = stream(0, "init", "mix.weight")
    wanted = 2 * rng.standard_normal((3, 3, 3), dtype="float32")
    assert one.mix.weight.detach().numpy() == pytest.approx(wanted)
    assert one.scale.equal(again.scale)
    assert not one.scale.equal(other.scale)
    assert not one.mix.bias.any()
    assert one.activation.weight.tolist() == [0.25]


def test_each_parameter_is_drawn_from_its_own_name():
    short = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6))
    long = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Linear(6, 6))
    initialize(short, "torch_default", 0, {})
    initialize(long, "torch_default", 0, {})
    for index in (0, 1):
        assert short[index].weight.equal(long[index].weight)
        assert short[index].bias.equal(long[index].bias)
    assert not short[0].weight.equal(short[1].weight)
    assert long[2].weight.tolist() == [1.0] * 6
