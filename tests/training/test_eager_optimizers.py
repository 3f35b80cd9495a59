"""Optimizers less what concerns the compiler: the same numbers, without importing it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from normbench.config import AdamConfig, AdamWConfig, SgdConfig
from normbench.training.optimizers import make_optimizer

TESTS = Path(__file__).parents[1]

CONFIGS = [
    SgdConfig(kind="sgd", lr=0.1, momentum=0.9),
    AdamConfig(kind="adam", lr=0.01),
    AdamWConfig(kind="adamw", lr=0.01),
]


def trained(config, *, pytorch: bool) -> list[torch.Tensor]:
    draw = torch.Generator().manual_seed(3)
    weight, bias = (torch.randn(s, generator=draw, requires_grad=True) for s in ((7, 5), (7,)))
    groups = [
        {"params": [weight], "weight_decay": config.weight_decay, "rate": 1.0},
        {"params": [bias], "weight_decay": 0.0, "rate": 1.0},
    ]
    optimizer = make_optimizer(groups, config)
    if pytorch:
        (cls,) = type(optimizer).__bases__
        given = ("lr", "momentum", "betas", "eps", "fused")
        options = {key: optimizer.defaults[key] for key in given if key in optimizer.defaults}
        groups = [
            {"params": g["params"], "weight_decay": g["weight_decay"]}
            for g in optimizer.param_groups
        ]
        optimizer = cls(groups, **options)
    for _ in range(4):
        optimizer.zero_grad(set_to_none=True)
        x = torch.randn(11, 5, generator=draw)
        torch.nn.functional.linear(x, weight, bias).square().sum().backward()
        optimizer.step()
        optimizer.load_state_dict(optimizer.state_dict())
    return [weight.detach(), bias.detach()]


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.kind)
def test_a_step_is_that_of_pytorch_bit_for_bit(config):
    pairs = zip(trained(config, pytorch=False), trained(config, pytorch=True), strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_training_does_not_load_the_compiler(own_cache):
    code = """
import sys
from tiny import experiment
from normbench.data import prepare
from normbench.plan import expand
from normbench.training.loop import train
print(type(list(train(expand(experiment())[0].config, prepare("digits")))[-1]).__name__)
unwanted = ("torch._dynamo", "torchvision", "pandas", "scipy", "sklearn", "altair")
print([name for name in unwanted if name in sys.modules])
"""
    search = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": search},
    )
    assert done.stdout.split("\n")[:2] == ["Finished", "[]"]
