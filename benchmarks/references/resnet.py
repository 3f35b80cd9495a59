"""ResNet-20 with batch norm on CIFAR images, as one writes it beside torchvision, and nothing else.

Three stages of three blocks, shortcuts that pad with zeros, no biases, He's normal
weights, SGD at a constant rate of 0.1 with momentum 0.9: He, Zhang, Ren & Sun 2015,
arXiv:1512.03385, section 4.2, as far as its first epochs go, without weight decay.

python -m benchmarks.references.resnet '{"root": "cifar10", "seed": 0, "epochs": 2}' prints
{"train_loss": [...], "val_accuracy": [...], "test_accuracy": ..., "seconds": ...}.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

from normbench.vision import torchvision

vision = torchvision()  # a plain `import torchvision`, also beside a CPU-only torch

MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)


class BasicBlock(nn.Module):
    def __init__(self, inplanes: int, planes: int, stride: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.stride, self.new = stride, planes - inplanes

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        s = self.stride
        return F.relu(out + F.pad(x[:, :, ::s, ::s], (0, 0, 0, 0, 0, self.new)))


class ResNet20(nn.Module):
    def __init__(self, num_classes: int = 10):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        blocks, inplanes = [], 16
        for planes in (16, 32, 64):
            for layer in range(3):
                stride = 2 if planes > 16 and not layer else 1
                blocks.append(BasicBlock(inplanes, planes, stride))
                inplanes = planes
        self.layers = nn.Sequential(*blocks)
        self.fc = nn.Linear(64, num_classes, bias=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(F.relu(self.bn1(self.conv1(x))))
        return self.fc(x.mean((2, 3)))


def evaluate(net: nn.Module, loader: DataLoader) -> float:
    net.eval()
    right = seen = 0
    with torch.no_grad():
        for x, y in loader:
            right += (net(x).argmax(1) == y).sum().item()
            seen += len(y)
    return right / seen


def main(root: str, seed: int, epochs: int, validation: int = 5000) -> dict[str, Any]:
    torch.manual_seed(seed)
    t = vision.transforms
    usual = [t.ToTensor(), t.Normalize(MEAN, STD)]
    augmented = t.Compose([t.RandomCrop(32, padding=4), t.RandomHorizontalFlip(), *usual])
    folder = vision.datasets.ImageFolder
    full = folder(str(Path(root) / "train"), augmented)
    unchanged = folder(str(Path(root) / "train"), t.Compose(usual))
    test = DataLoader(folder(str(Path(root) / "test"), t.Compose(usual)), 1000)
    order = torch.randperm(len(full)).tolist()
    train = DataLoader(Subset(full, order[validation:]), 128, shuffle=True, drop_last=True)
    held = DataLoader(Subset(unchanged, order[:validation]), 1000)

    net = ResNet20()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    losses, accuracies = [], []
    started = time.perf_counter()
    for epoch in range(epochs):
        net.train()
        total = 0.0
        for x, y in train:
            optimizer.zero_grad()
            loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        losses.append(total / len(train))
        accuracies.append(evaluate(net, held))
        print(f"epoch {epoch}: loss {losses[-1]:.4f}, {accuracies[-1]:.4f}", file=sys.stderr)
    accuracy = evaluate(net, test)
    seconds = time.perf_counter() - started
    return {
        "train_loss": losses,
        "val_accuracy": accuracies,
        "test_accuracy": accuracy,
        "seconds": seconds,
    }


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
