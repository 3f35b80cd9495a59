"""A network of one's own under ``original`` is trained as its author would train it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from tiny import only, run_config, same, trained, weights
from torch.nn import functional as F

from normbench.data import epoch_order
from normbench.seeding import stream
from normbench.training import events
from normbench.training.run import Run

NET = """
import torch
from torch import nn
from torch.nn import functional as F


class Net(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1, bias=False)
        self.shared = nn.BatchNorm2d(8)
        self.conv1 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8, eps=1e-3, momentum=0.3)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x):
        x = F.relu(self.shared(self.stem(x)), inplace=True)
        y = F.relu(self.shared(self.conv1(x)))
        x = F.relu(x + self.norm(self.conv2(y)))
        return self.head(self.drop(x.mean((2, 3))))
"""
STEPS, BATCH, LR, MOMENTUM = 12, 32, 0.05, 0.9


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


def config(file: Path, *overrides: str, norm: str = "original", seed: int = 0):
    optimizer = f"optimizer={{kind: sgd, lr: {LR}, momentum: {MOMENTUM}}}"
    budget = f"training={{steps: {STEPS}, evaluate_every: 5}}"
    model = f"model={{kind: '{file}:Net'}}"
    return run_config(model, optimizer, budget, *overrides, norm=norm, seed=seed)


def by_hand(file: Path, digits, seed: int) -> tuple[dict[str, torch.Tensor], list[float]]:
    """The module's own training, without anything of the package but its batches and its seeds."""
    spec = importlib.util.spec_from_file_location("own_net", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    torch.manual_seed(seed)
    net = module.Net(10).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM, fused=True)
    run = Run(config(file, seed=seed), digits)
    order = torch.from_numpy(run.train_indices[epoch_order(seed, 0, len(run.train_indices))])
    mean, std = torch.tensor(digits.mean), torch.tensor(digits.std)
    losses = []
    for step in range(STEPS):
        chosen = order[step * BATCH : (step + 1) * BATCH].numpy()
        images = torch.from_numpy(digits.train_images[chosen]).reshape(-1, 8, 8, 1)
        x = ((images.float() / 255 - mean) / std).permute(0, 3, 1, 2)
        assert torch.allclose(x, run.data.batch(chosen)[0], atol=1e-6)
        x = run.data.batch(chosen)[0]  # the same, to the last bit
        y = torch.from_numpy(digits.train_labels[chosen]).long()
        torch.manual_seed(int(stream(seed, "torch", step).integers(2**63)))  # of the dropout
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return dict(net.state_dict()), losses


@pytest.mark.parametrize("seed", [0, 3])
def test_original_is_the_modules_own_training_bit_for_bit(file, digits, seed):
    found = trained(config(file, "training.evaluate_every=1", seed=seed), digits)
    wanted, losses = by_hand(file, digits, seed)
    assert same(weights(found), wanted)
    told = [event.train_loss for event in only(found, events.Evaluated)[1:]]
    assert told == losses


def test_another_norm_starts_from_the_same_backbone_and_trains_otherwise(file, digits):
    runs = {norm: trained(config(file, norm=norm), digits) for norm in ("original", "rms", "none")}
    assert len({found[0].backbone_sha256 for found in runs.values()}) == 1
    stems = [weights(found)["stem.weight"] for found in runs.values()]
    assert not stems[0].equal(stems[1])
    assert not stems[1].equal(stems[2])


def test_a_run_of_a_network_that_draws_is_the_same_run_twice(file, digits):
    first = weights(trained(config(file, norm="layer"), digits))
    torch.manual_seed(99)
    assert same(weights(trained(config(file, norm="layer"), digits)), first)
