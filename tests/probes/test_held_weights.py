"""Weights that are computed from others: what is told of them, and that looking moves nothing."""

from __future__ import annotations

import warnings

import pytest
import torch
from tiny import only, run_config, same, state, trained
from torch import Tensor, nn

from normbench.models import MODELS
from normbench.models.foreign import of_reference
from normbench.probes import ProbeRecorder
from normbench.training import events
from normbench.training.run import Run


class Held(nn.Module):
    """Both of PyTorch's ways, and a spectral norm, which iterates whenever it is asked."""

    def __init__(self, num_classes: int):
        super().__init__()
        parametrizations = nn.utils.parametrizations
        self.new = parametrizations.weight_norm(nn.Linear(64, 8))
        self.spectral = parametrizations.spectral_norm(nn.Linear(8, 8))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            self.old = nn.utils.weight_norm(nn.Linear(8, 8))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.old(self.spectral(self.new(x.flatten(1)))).relu()))


@pytest.fixture(autouse=True)
def held(monkeypatch):
    monkeypatch.setitem(MODELS._items, "held", of_reference(Held, "net.py:Held"))


def test_a_step_moves_them_and_where_that_cannot_be_seen_it_is_missing(digits):
    run = Run(run_config("model={kind: held}", norm="original"), digits)
    run.network.train()
    run.start_epoch()
    weight = run.network.get_submodule("new")
    before = weight.weight.detach().clone()
    recorder = ProbeRecorder(run.assembled)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run.update(recorder)
        found = recorder.after_step()
    moved = (weight.weight - before).norm() / before.norm()
    new, spectral, old = found["update_ratio"]
    assert new == pytest.approx(moved.item(), rel=1e-5)
    assert new > 0
    assert spectral > 0
    assert torch.tensor([old, *found["weight_gradient"]]).isnan().all()


def test_looking_at_them_changes_nothing(digits):
    on, off = (
        trained(run_config("model={kind: held}", f"probes={probes}", norm="original"), digits)
        for probes in ("{every: 1}", "{steps: none}")
    )
    assert len(only(on, events.Probed)) == 12
    assert same(state(on)["network"], state(off)["network"])
