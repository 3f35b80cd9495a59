"""A plain PyTorch script: DataLoader, transforms, one run after the other, each on all cores.

python -m benchmarks.references.plain '[{"kind": "mlp", "root": "data"}]' prints, a line a run,
{"seconds": training, validation and test, "test_accuracy": ...}.
"""

from __future__ import annotations

import json
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader

from benchmarks.references.task import Task, loaders, network, optimizer


def evaluate(net: nn.Module, loader: DataLoader, device: torch.device) -> float:
    net.eval()
    right = seen = 0
    with torch.no_grad():
        for x, y in loader:
            x, y = x.to(device), y.to(device)
            right += (net(x).argmax(1) == y).sum().item()
            seen += len(y)
    return right / seen


def run(task: Task) -> dict[str, float]:
    torch.manual_seed(task.seed)
    device = torch.device(task.device)
    train, validation, test = loaders(task)
    net = network(task).to(device)
    step = optimizer(task, net)
    started = time.perf_counter()
    for epoch in range(task.epochs):
        net.train()
        total = 0.0
        for x, y in train:
            x, y = x.to(device), y.to(device)
            step.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            step.step()
            total += loss.item()
        accuracy = evaluate(net, validation, device)
        print(f"epoch {epoch}: loss {total / len(train):.4f}, {accuracy:.4f}", file=sys.stderr)
    accuracy = evaluate(net, test, device)
    return {"seconds": time.perf_counter() - started, "test_accuracy": accuracy}


if __name__ == "__main__":
    for values in json.loads(sys.argv[1]):
        print(json.dumps(run(Task(**values))), flush=True)
