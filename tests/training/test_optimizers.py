"""Optimizers and learning-rate schedules against their closed forms."""

from __future__ import annotations

import math
from types import MappingProxyType, SimpleNamespace
from typing import Any

import pytest
import torch
from tiny import run_config
from torch import nn

from normbench.config import RunConfig
from normbench.errors import ConfigError
from normbench.models.assemble import assemble
from normbench.models.network import Network
from normbench.models.roles import roles
from normbench.norms import NormMethod, NormPolicy, Rule
from normbench.training.budget import steps_per_epoch, total_steps
from normbench.training.optimizers import apply_bounds, make_optimizer, parameter_groups, set_rates
from normbench.training.run import Run

LR = 0.2


def rates(digits, *overrides: str, steps: int = 12) -> list[float]:
    """The rate the optimizer really has at each update of a run."""
    run = Run(
        run_config(f"training={{steps: {steps}, evaluate_every: {steps}}}", *overrides), digits
    )
    found = []
    while run.step < run.steps:
        if run.step % run.per_epoch == 0:
            run.start_epoch()
        run.update()
        assert len({group["lr"] for group in run.optimizer.param_groups}) == 1
        found.append(run.optimizer.param_groups[0]["lr"])
    return found


def schedule(kind: str, warmup: int = 0) -> str:
    return f"optimizer={{kind: sgd, lr: {LR}, schedule: {kind}, warmup_steps: {warmup}}}"


def test_a_constant_rate_is_constant(digits):
    assert rates(digits, schedule("constant")) == [LR] * 12


def test_a_linear_rate_falls_in_equal_steps_towards_zero(digits):
    wanted = [LR * (12 - t) / 12 for t in range(12)]
    assert rates(digits, schedule("linear")) == pytest.approx(wanted)


def test_a_cosine_rate_is_half_a_cosine(digits):
    wanted = [LR * (1 + math.cos(math.pi * t / 12)) / 2 for t in range(12)]
    found = rates(digits, schedule("cosine"))
    assert found == pytest.approx(wanted)
    assert found[6] == pytest.approx(LR / 2)


@pytest.mark.parametrize(
    ("kind", "after"),
    [
        ("constant", [1] * 8),
        ("linear", [1 - t / 8 for t in range(8)]),
        ("cosine", [(1 + math.cos(math.pi * t / 8)) / 2 for t in range(8)]),
    ],
)
def test_warmup_rises_to_the_full_rate_and_the_schedule_follows(digits, kind, after):
    found = rates(digits, schedule(kind, warmup=4))
    assert found[:4] == pytest.approx([LR / 4, LR / 2, 3 * LR / 4, LR])
    assert found[4:] == pytest.approx([LR * share for share in after])


def test_a_warmup_longer_than_the_run_never_arrives(digits):
    wanted = [LR * (t + 1) / 48 for t in range(12)]
    assert rates(digits, schedule("cosine", warmup=48)) == pytest.approx(wanted)


# --- the update itself ---


def network() -> nn.Module:
    """A weight matrix, a bias, and a norm's scale and shift, with gradients in place."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.Conv2d(1, 2, 2))
    for p in net.parameters():
        p.data = torch.randn_like(p)
        p.grad = torch.randn_like(p)
    return net


def stepped(text: str, times: int = 1) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """(before, gradient, after ``times`` updates with that gradient) of each parameter."""
    net = network()
    before = [p.detach().double() for p in net.parameters()]
    known = SimpleNamespace(rules={}, roles=roles(net, ["1"], []))
    settings = run_config(f"optimizer={text}").optimizer
    named = dict(net.named_parameters())
    optimizer = make_optimizer(parameter_groups(known, named, settings), settings)
    for _ in range(times):
        optimizer.step()
    gradients = [p.grad.double() for p in net.parameters() if p.grad is not None]
    after = [p.detach().double() for p in net.parameters()]
    return list(zip(before, gradients, after, strict=True))


def decay(parameter: torch.Tensor, value: float) -> float:
    """Only matrices and kernels are pulled towards zero."""
    return value if parameter.ndim > 1 else 0.0


def near(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.allclose(a, b, rtol=1e-5, atol=1e-6)


def test_sgd_with_weight_decay():
    for w, g, after in stepped("{kind: sgd, lr: 0.1, momentum: 0, weight_decay: 0.3}"):
        assert near(after, w - 0.1 * (g + decay(w, 0.3) * w))


def test_sgd_with_momentum_keeps_a_share_of_the_last_update():
    for w, g, after in stepped("{kind: sgd, lr: 0.1, momentum: 0.8}", times=3):
        assert near(after, w - 0.1 * (1 + 1.8 + (1 + 0.8 * 1.8)) * g)


def test_nesterov_looks_ahead():
    for w, g, after in stepped("{kind: sgd, lr: 0.1, momentum: 0.8, nesterov: true}", times=2):
        assert near(after, w - 0.1 * (1.8 + (1 + 0.8 * 1.8)) * g)


def test_adam_adds_decay_to_the_gradient():
    text = "{kind: adam, lr: 0.1, betas: [0.5, 0.7], eps: 0.01, weight_decay: 0.3}"
    for w, g, after in stepped(text):
        full = g + decay(w, 0.3) * w
        assert near(after, w - 0.1 * full / (full.abs() + 0.01))


def test_adamw_decouples_it():
    text = "{kind: adamw, lr: 0.1, betas: [0.5, 0.7], eps: 0.01, weight_decay: 0.3}"
    for w, g, after in stepped(text):
        assert near(after, w * (1 - 0.1 * decay(w, 0.3)) - 0.1 * g / (g.abs() + 0.01))


def test_adam_forgets_at_the_rates_of_its_betas():
    for w, g, after in stepped("{kind: adam, lr: 0.1, betas: [0.0, 0.5], eps: 0.01}", times=2):
        one = g / (g.abs() + 0.01)
        assert near(after, w - 0.2 * one)


@pytest.mark.parametrize("norm", ["batch", "layer", "rms"])
def test_no_parameter_of_a_norm_and_no_bias_is_decayed(digits, norm):
    text = "optimizer={kind: sgd, lr: 0.1, weight_decay: 0.5}"
    run = Run(run_config(text, norm=norm), digits)
    decayed = {
        id(p)
        for group in run.optimizer.param_groups
        if group["weight_decay"]
        for p in group["params"]
    }
    names = {name for name, p in run.network.named_parameters() if id(p) in decayed}
    assert names == {*(f"blocks.{i}.linear.weight" for i in range(3)), "head.weight"}
    trained = sum(len(group["params"]) for group in run.optimizer.param_groups)
    assert trained == len(list(run.network.parameters()))


class Shapely(nn.Module):
    """A norm whose parameters have the shapes of weights, and a Linear within."""

    def __init__(self, features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, features))
        self.mix = nn.Linear(features, features)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.mix(x) * self.weight


class Matrices(NormMethod):
    """A norm of matrices and an activation of them, of which rules are known."""

    replaces = frozenset({"norm", "activation"})
    rules = MappingProxyType({"gain": Rule(rate=0.5, low=0.9, high=1.1)})

    def norm(self, lane):
        layer = Shapely(lane.features)
        layer.gain = nn.Parameter(torch.ones(lane.features))
        return layer

    def activation(self, lane, given):
        return Shapely(lane.features)


def under_matrices() -> Network:
    method = Matrices(NormPolicy(), Matrices.Options())
    blueprint = run_config().model.blueprint()
    return assemble(blueprint, method, (8, 8, 1), 10, 0)


def groups(network: Network, *overrides: str) -> dict[str, dict[str, Any]]:
    """The optimizer's group of every parameter by name."""
    parameters = dict(network.module.named_parameters())
    settings = run_config(*overrides).optimizer
    listed = parameter_groups(network, parameters, settings)
    optimizer = make_optimizer(listed, settings)
    set_rates(optimizer, 1.0)
    names = {id(parameter): name for name, parameter in parameters.items()}
    return {names[id(p)]: group for group in optimizer.param_groups for p in group["params"]}


def test_a_norms_parameter_is_not_decayed_whatever_its_shape():
    network = under_matrices()
    found = groups(network, "optimizer={kind: sgd, lr: 0.1, weight_decay: 0.5}")
    decayed = {name for name, group in found.items() if group["weight_decay"]}
    assert decayed == {*(f"blocks.{i}.linear.weight" for i in range(3)), "head.weight"}
    assert found.keys() == dict(network.module.named_parameters()).keys()
    assert {network.roles[f"blocks.0.norm.{n}"] for n in ("weight", "mix.bias")} == {"norm"}
    assert network.roles["blocks.1.activation.weight"] == "activation"


def test_what_a_paper_fixes_of_a_parameter_has_a_rate_of_its_own_and_bounds():
    network = under_matrices()
    found = groups(network)
    assert {name for name, group in found.items() if group["lr"] == 0.5} == {
        f"blocks.{i}.norm.gain" for i in range(3)
    }
    assert {group["lr"] for group in found.values()} == {0.5, 1.0}
    gain = network.module.get_parameter("blocks.0.norm.gain")
    with torch.no_grad():
        gain[:2] = torch.tensor([0.0, 7.0])
    apply_bounds(network, network.module.get_parameter)
    assert gain[:3].tolist() == pytest.approx([0.9, 1.1, 1.0])


def test_of_a_weight_norm_the_direction_is_decayed_and_the_length_is_not():
    network = nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), nn.Conv1d(3, 2, 1)
    )
    assert roles(network, [], []) == {
        "0.bias": "bias",
        "0.parametrizations.weight.original0": "scale",
        "0.parametrizations.weight.original1": "weight",
        "1.weight": "weight",
        "1.bias": "bias",
    }


def test_clipping_limits_the_norm_of_the_whole_gradient(digits):
    text = "optimizer={kind: sgd, lr: 1.0, momentum: 0, clip_norm: 0.05}"
    run = Run(run_config(text), digits)
    run.network.train()
    run.start_epoch()
    before = [p.detach().clone() for p in run.network.parameters()]
    run.update()
    moved = [p.detach() - old for p, old in zip(run.network.parameters(), before, strict=True)]
    assert sum(m.double().square().sum() for m in moved).sqrt() == pytest.approx(0.05, rel=1e-4)


# --- the budget ---


def budget(*overrides: str) -> RunConfig:
    return run_config(*overrides)


def test_an_incomplete_batch_is_dropped_under_every_norm():
    for norm in ("none", "batch"):
        assert steps_per_epoch(run_config("data.batch_size=32", norm=norm), 1337) == 41
        assert steps_per_epoch(run_config("data.batch_size=1337", norm=norm), 1337) == 1


@pytest.mark.parametrize(("epochs", "steps"), [(1, 41), (3, 123), (0.5, 20), (2.25, 92), (1e-6, 1)])
def test_epochs_are_whole_batches(epochs, steps):
    config = budget(f"training={{epochs: {epochs}, evaluate_every: 5}}")
    assert total_steps(config, 1337) == steps


def test_a_batch_larger_than_the_training_set_is_a_config_error():
    with pytest.raises(ConfigError) as caught:
        steps_per_epoch(budget("data.batch_size=200"), 199)
    (problem,) = caught.value.problems
    assert problem.path == "data.batch_size"
    assert "at most 199" in problem.message
    assert "got 200" in problem.message
