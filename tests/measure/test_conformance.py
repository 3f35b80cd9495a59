"""The conformance check finds faults that are planted, and raises no alarm where there are none."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from normbench.components import load
from normbench.measure.conformance import check_norm
from normbench.norms import NORMS, NormMethod, NormPolicy, NormSlot, Traits, make_method
from normbench.norms.base import Norm, of_module


@pytest.mark.parametrize("name", [name for name in NORMS.names() if NORMS[name].replaces])
def test_no_registered_norm_raises_an_alarm(name):
    found = list(check_norm(make_method(name)))
    assert [f for f in found if f.state == "wrong"] == []
    alone = NORMS[name].Options().__dict__.get("norm") != "original"
    assert any(f.state == "fine" for f in found) == alone  # a network's own norms have no layer


class PlainLayer(nn.Module):
    """Layer norm of [N, F] or [N, C, H, W], as a user would write it; subclasses plant a fault."""

    def __init__(self, features, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def normalized(self, x):
        dims = tuple(range(1, x.ndim))
        variance = x.var(dims, correction=0, keepdim=True)
        return (x - x.mean(dims, keepdim=True)) * torch.rsqrt(variance + self.eps)

    def affine(self, y):
        shape = (1, -1, *[1] * (y.ndim - 2))
        return y * self.weight.view(shape) + self.bias.view(shape)

    def forward(self, x):
        return self.affine(self.normalized(x.to(torch.promote_types(x.dtype, torch.float32)))).to(
            x.dtype
        )


class DoesNothing(PlainLayer):
    def forward(self, x):
        return x


class EpsOutside(PlainLayer):
    def normalized(self, x):
        dims = tuple(range(1, x.ndim))
        deviation = x.var(dims, correction=0, keepdim=True).sqrt()
        return (x - x.mean(dims, keepdim=True)) / (deviation + self.eps)


class ScaleTwice(PlainLayer):
    def affine(self, y):
        return super().affine(y) * self.weight.view(1, -1, *[1] * (y.ndim - 2))


class Float32Out(PlainLayer):
    def forward(self, x):
        return (
            self.affine(self.normalized(x.float()))
            if x.dtype != torch.float64
            else super().forward(x)
        )


class NoGradient(PlainLayer):
    def affine(self, y):
        shape = (1, -1, *[1] * (y.ndim - 2))
        return y * self.weight.view(shape) + self.bias.detach().view(shape)


class GlobalRandom(PlainLayer):
    def forward(self, x):
        return super().forward(x + 1e-6 * torch.randn(()))


class Leaks(PlainLayer):
    """Of an evaluation that looks at the batch."""

    def normalized(self, x):
        return (x - x.mean(0, keepdim=True)) * torch.rsqrt(
            x.var(0, correction=0, keepdim=True) + self.eps
        )


class WrongGradient(PlainLayer):
    def normalized(self, x):
        dims = tuple(range(1, x.ndim))
        variance = x.var(dims, correction=0, keepdim=True).detach()
        return (x - x.mean(dims, keepdim=True)) * torch.rsqrt(variance + self.eps)


class PlainBatch(PlainLayer):
    """Batch norm as a user would write it; subclasses plant a fault."""

    def __init__(self, features, eps=1e-5, momentum=0.1):
        super().__init__(features, eps)
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(features))
        self.register_buffer("running_var", torch.ones(features))

    def keep(self, running, new):
        return (1 - self.momentum) * running + self.momentum * new

    def normalized(self, x):
        dims, shape = [d for d in range(x.ndim) if d != 1], (1, -1, *[1] * (x.ndim - 2))
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = x.mean(dims), x.var(dims, correction=0)
            self.running_mean = self.keep(self.running_mean, mean.detach().float())
            self.running_var = self.keep(self.running_var, var.detach().float())
        mean, var = mean.to(x.dtype), var.to(x.dtype)
        return (x - mean.view(shape)) * torch.rsqrt(var.view(shape) + self.eps)


class MomentumTurned(PlainBatch):
    def keep(self, running, new):
        return self.momentum * running + (1 - self.momentum) * new


class NeverMoves(PlainBatch):
    def keep(self, running, new):
        return running


FAULTS = {
    DoesNothing: ("does something", "unchanged"),
    EpsOutside: ("eps", "outside the root"),
    ScaleTwice: ("scale", "twice"),
    Float32Out: ("shape and type", "float32 for bfloat16"),
    NoGradient: ("parameters", "no gradient reaches"),
    GlobalRandom: ("random numbers", "global generator"),
    Leaks: ("other examples", "evaluation mode"),
    WrongGradient: ("gradients", "differences give"),
    MomentumTurned: ("running statistics", "wrong way round"),
    NeverMoves: ("running statistics", "never moves"),
}


def wrong(layer: type[nn.Module]) -> dict[str, str]:
    method = of_module(layer, "file.py:Name")
    return {
        f.check: f.said
        for f in check_norm(method(NormPolicy(), method.Options()))
        if f.state == "wrong"
    }


@pytest.mark.parametrize("layer", [PlainLayer, PlainBatch])
def test_a_sound_layer_of_ones_own_raises_no_alarm(layer):
    assert {k: v for k, v in wrong(layer).items() if k != "vmap"} == {}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found_and_named(fault):
    check, words = FAULTS[fault]
    assert words in wrong(fault)[check]


class OverTheBatch(Norm):
    def forward(self, x):
        variance = x.var(0, correction=0, keepdim=True)
        return self.scaled((x - x.mean(0, keepdim=True)) * torch.rsqrt(variance + self.eps))


class WrongAxis(NormMethod):
    """Says layer norm, and normalizes over the batch."""

    traits = Traits(statistics="example", centered=True, train_differs=False)

    def norm(self, slot: NormSlot) -> nn.Module:
        return OverTheBatch(slot, self.policy)


def test_a_norm_over_another_axis_than_it_declares_is_found():
    found = {f.check: f.said for f in check_norm(WrongAxis(NormPolicy(), WrongAxis.Options()))}
    assert "depends on the others of its batch" in found["other examples"]
    assert "follows an example's own scale" in found["axis"]


def test_a_layer_that_raises_is_a_finding_and_no_traceback():
    class Raises(PlainLayer):
        def forward(self, x):
            raise ValueError("no such thing")

    assert wrong(Raises)["shape and type"] == "raises ValueError: no such thing"


def test_a_module_by_reference_takes_the_policy_and_its_plain_arguments(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text(
        "from torch import nn\n\n\nclass Mine(nn.LayerNorm):\n"
        "    def __init__(self, features, eps=1.0, alpha=0.5):\n"
        "        super().__init__(features, eps)\n        self.alpha = alpha\n"
    )
    method = NORMS[f"{file}:Mine"]
    assert method is NORMS[f"{file}:Mine"]
    assert load(f"{file}:Mine").sha256
    layer = method(NormPolicy(eps=1e-3), method.Options(alpha=0.25)).norm(NormSlot.of(8))
    assert (layer.eps, layer.alpha) == (1e-3, 0.25)
