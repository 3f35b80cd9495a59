"""Networks of one's own that are unlike ours, from the outside: trained, compared, shown."""

from __future__ import annotations

import json

import pytest

NETWORKS = """\
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint


class Head(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(64, num_classes)

    def forward(self, x):
        return self.head(self.norm(self.body(x)).flatten(1))

    def body(self, x):
        return x[:, 0]


class Complex(Head):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.filter = nn.Parameter(torch.randn(8, 5, dtype=torch.cfloat))

    def body(self, x):
        return torch.fft.irfft2(torch.fft.rfft2(x[:, 0]) * self.filter, s=(8, 8))


class Bare(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.head = nn.Linear(64, num_classes)

    def forward(self, x):
        y = nn.functional.layer_norm(x, (8, 8))
        return self.head(y.flatten(1))


class Frozen(Head):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.stem = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1))
        self.stem.requires_grad_(False)

    def body(self, x):
        with torch.no_grad():
            return self.stem(x)[:, 0]


class Recomputed(Head):
    def __init__(self, num_classes):
        super().__init__(num_classes)
        self.deep = nn.Linear(8, 8)

    def body(self, x):
        return checkpoint(self.deep, x[:, 0].requires_grad_(), use_reentrant=True)
"""

TEXT = """\
norms: [original, rms]
data: {dataset: digits, validation: 100, batch_size: 32}
model: {path: 'nets.py:NAME'}
training: {steps: 3}
target: {val_accuracy: 0.5}
seeds: 1
"""


@pytest.fixture
def own(tmp_path):
    """The config of a network of ``NETWORKS``."""
    (tmp_path / "nets.py").write_text(NETWORKS)

    def of(name):
        path = tmp_path / f"{name}.yaml"
        path.write_text(TEXT.replace("NAME", name))
        return path

    return of


@pytest.mark.parametrize("name", ["Head", "Complex"])
def test_a_network_without_hidden_layers_is_trained_and_nothing_is_told_of_them(cli, own, name):
    done = cli("train", own(name), "--jobs", "1", "-q")
    assert done.code == 0, done.err
    assert "identical across norms (2 runs)" in done.out
    assert cli("compare", name, "--full").code == 0
    assert json.loads(cli("compare", name, "--json").out)["gradients"] == []
    assert cli("report", name).code == cli("show", name).code == 0
    done = cli("probe", own(name), "--seeds", "1")
    assert (done.code, done.err) == (
        2,
        "error: model: there is no layer to look into: no Linear or Conv stands before its head\n",
    )


def test_a_network_without_a_norm_to_exchange_is_told_once_and_original_alone_may_stand(cli, own):
    path = own("Bare")
    done = cli("validate", path, "--set", "norms=[original, rms, batch]")
    assert (done.code, done.err.count("no norm was found")) == (2, 1)
    assert ":3:8  model: no norm was found in this network that could be exchanged: nets.py:" in (
        done.err
    )
    assert "layer_norm: y = nn.functional.layer_norm(x, (8, 8))): called as a function" in done.err
    assert cli("validate", path, "--set", "norms=[original]").code == 0


@pytest.mark.parametrize("name", ["Frozen", "Recomputed"])
def test_where_no_gradient_passes_none_is_measured_and_the_run_goes_on(cli, own, name):
    done = cli("train", own(name), "--jobs", "1", "-q")
    assert done.code == 0, done.err
    gradients = json.loads(cli("compare", name, "--json").out)["gradients"]
    assert gradients
    assert all(row["first_layer_grad_norm"] is None for row in gradients)
