"""Seeds side by side: every kind of network, and one of one's own, in both precisions."""

from __future__ import annotations

import pytest
from tiny import only, run_config
from torch import Tensor, nn

from normbench.errors import ConfigError
from normbench.models import MODELS
from normbench.models.foreign import of_reference
from normbench.training import events
from normbench.training.loop import train_together

KINDS = {
    "resnet": "{kind: resnet, depth: 8, width: 8}",
    "residual_mlp": "{kind: residual_mlp, depth: 2, width: 16}",
    "vit": "{kind: vit, depth: 1, width: 16, heads: 2}",
    "mixer": "{kind: mixer, depth: 1, width: 16, token_width: 8, feature_width: 16}",
    "lstm": "{kind: lstm, width: 16}",
    "own": "{kind: own}",
    "frozen": "{kind: frozen}",
}


class Own(nn.Module):
    """A norm of PyTorch's, twice, and a scale."""

    def __init__(self, num_classes: int):
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.again = nn.Conv2d(8, 8, 3, padding=1)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(self.conv(x)).relu()
        return self.head(self.norm(self.again(x)).relu().mean((2, 3)))


class Frozen(Own):
    """A part of it stays as it is drawn."""

    def __init__(self, num_classes: int):
        super().__init__(num_classes)
        self.again.requires_grad_(False)


@pytest.fixture(autouse=True)
def own(monkeypatch):
    monkeypatch.setitem(MODELS._items, "frozen", of_reference(Frozen, "net.py:Frozen"))
    monkeypatch.setitem(MODELS._items, "own", of_reference(Own, "net.py:Own"))


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize(("precision", "norm"), [("fp32", "rms"), ("bf16", "original")])
@pytest.mark.parametrize("kind", list(KINDS))
def test_a_stack_trains_each_run_nearly_as_it_is_trained_alone(digits, kind, precision, norm):
    options = (f"model={KINDS[kind]}", f"training.precision={precision}", "training.steps=4",
               "optimizer.lr=0.01")  # fmt: skip

    def configs(stack: int):
        return [run_config(*options, f"runtime.stack={stack}", norm=norm, seed=s) for s in (0, 1)]

    together = list(train_together(configs(2), digits, resume=[None, None]))
    for index, config in enumerate(configs(1)):
        alone = [e for _, e in train_together([config], digits, resume=[None])]
        mine = [event for i, event in together if i == index]
        (one,), (other,) = (only(found, events.Tested) for found in (mine, alone))
        tolerance = 1e-4 if precision == "fp32" else 0.05
        assert one.test_loss == pytest.approx(other.test_loss, rel=tolerance)


def test_a_network_that_draws_is_refused_also_where_the_config_could_not_tell(digits, monkeypatch):
    class Dropping(Own):
        def __init__(self, num_classes: int):
            super().__init__(num_classes)
            self.head = nn.Sequential(nn.Dropout(0.1), self.head)

    monkeypatch.setattr("normbench.config.experiment.runtime_problems", lambda *_: [])
    monkeypatch.setitem(MODELS._items, "own", of_reference(Dropping, "net.py:Own"))
    configs = [run_config("model={kind: own}", "runtime.stack=2", seed=s) for s in (0, 1)]
    with pytest.raises(ConfigError, match=r"runtime\.stack: the network draws random numbers"):
        list(train_together(configs, digits, resume=[None, None]))
