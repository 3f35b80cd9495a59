"""A plain PyTorch script for the same tasks: Dataset, transforms, DataLoader, one run at a time."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, Subset

from benchmarks.gpu_parts.tasks import CLASSES, Made, Task
from normbench.vision import torchvision


class Images(Dataset):
    """Arrays as torchvision's MNIST and CIFAR10 serve theirs: a Pillow image, transformed."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, made: Made):
        self.images, self.labels = images.squeeze(-1) if images.shape[-1] == 1 else images, labels
        t = torchvision().transforms  # a plain import, also beside a CPU-only torch
        self.transform = t.Compose([t.ToTensor(), t.Normalize(made.mean, made.std)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class Block(nn.Module):
    def __init__(self, into: int, out: int, stride: int):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(into, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.bn2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.stride, self.new = stride, out - into

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        skip = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))
        return F.relu(y + skip)


def network(task: Task) -> nn.Module:
    """As one writes it with ``torch.nn``, with batch norm."""
    options, channels = task.options, task.channels
    layers: list[nn.Module] = []
    if task.kind == "mlp":
        into = task.side * task.side * channels
        layers.append(nn.Flatten())
        for _ in range(options["depth"]):
            layers += [nn.Linear(into, options["width"]), nn.BatchNorm1d(options["width"])]
            layers.append(nn.ReLU())
            into = options["width"]
        layers.append(nn.Linear(into, CLASSES))
    elif task.kind == "cnn":
        for layer in range(options["depth"]):
            stage, first = divmod(layer, options["depth"] // options["stages"])
            width, stride = options["width"] * 2**stage, 2 if stage and not first else 1
            layers += [nn.Conv2d(channels, width, 3, stride, 1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, CLASSES)]
    else:
        width = options["width"]
        layers += [nn.Conv2d(channels, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width)]
        layers.append(nn.ReLU())
        into = width
        for stage in range(3):
            for block in range((options["depth"] - 2) // 6):
                layers.append(Block(into, width * 2**stage, 2 if stage and not block else 1))
                into = width * 2**stage
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(into, CLASSES, bias=False)]
    net = nn.Sequential(*layers)
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net


def train(
    task: Task, made: Made, seed: int, device: str, precision: str, limit: float
) -> tuple[float, float | None]:
    """Seconds of one run, training, validation and test, and its accuracy on the test images.

    What takes longer than ``limit`` seconds is cut off, and its time is that of as many steps as a
    run has; then there is no accuracy.
    """
    torch.manual_seed(seed)
    full = Images(made.train_images, made.train_labels, made)
    order = torch.randperm(len(full)).tolist()
    workers = min(8, os.cpu_count() or 1) if device != "cpu" else 0
    common: dict[str, Any] = {
        "num_workers": workers,
        "persistent_workers": workers > 0,
        "pin_memory": device != "cpu",
    }
    batches = DataLoader(
        Subset(full, order[task.validation :]),
        task.batch_size,
        shuffle=True,
        drop_last=True,
        **common,
    )
    held = DataLoader(Subset(full, order[: task.validation]), 1000, **common)
    test = DataLoader(Images(made.test_images, made.test_labels, made), 1000, **common)
    net = network(task).to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=task.lr, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, task.steps)
    low = precision == "bf16"
    done, started = 0, time.perf_counter()
    for _ in range(task.epochs):
        net.train()
        total = 0.0
        for x, y in batches:
            x, y = x.to(device, non_blocking=True), y.to(device, non_blocking=True)
            optimizer.zero_grad()
            with torch.autocast(device.partition(":")[0], torch.bfloat16, enabled=low):
                loss = F.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
            done += 1
            if (spent := time.perf_counter() - started) > limit:
                return spent * task.steps / done, None
        accuracy(net, held, device)
    found = accuracy(net, test, device)
    return time.perf_counter() - started, found


def accuracy(net: nn.Module, loader: DataLoader, device: str) -> float:
    net.eval()
    right = seen = 0
    with torch.no_grad():
        for x, y in loader:
            right += (net(x.to(device)).argmax(1).cpu() == y).sum().item()
            seen += len(y)
    return right / seen
