"""The two tasks that the references train, as a user would set them up from torchvision's parts.

The networks are those of normbench's ``mlp`` and ``cnn`` with batch norm, the recipes those of the
configs beside the benchmarks: same layers, optimizer, batch size and budget.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, random_split

from normbench.vision import torchvision

vision = torchvision()  # a plain `import torchvision`, also beside a CPU-only torch


@dataclass(frozen=True)
class Task:
    """kind: "mlp" or "cnn"; norm: one of ``norm_layer``; root: MNIST's folder, or an image folder
    with train/ and test/; workers: processes of the DataLoader (0 is fastest on two cores)."""

    kind: str
    root: str
    norm: str = "batch"
    seed: int = 0
    epochs: int = 1
    batch_size: int = 128
    depth: int = 10
    width: int = 256
    validation: int = 5000
    lr: float = 0.05
    workers: int = 0
    device: str = "cpu"


class RMSNorm2d(nn.RMSNorm):
    """RMS norm over the channels, height and width of one example, gamma per channel."""

    def __init__(self, channels: int, size: int):
        super().__init__([channels, size, size], elementwise_affine=False)
        self.gamma = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * self.gamma


def norm_layer(norm: str, channels: int, size: int | None = None) -> nn.Module:
    """The norm as its module in torch.nn; size: height of the feature map, None in an MLP."""
    if norm == "none":
        return nn.Identity()
    if norm == "batch":
        return nn.BatchNorm1d(channels) if size is None else nn.BatchNorm2d(channels)
    if norm == "layer":
        return nn.LayerNorm(channels) if size is None else nn.GroupNorm(1, channels)
    if norm == "rms":
        return nn.RMSNorm(channels) if size is None else RMSNorm2d(channels, size)
    raise ValueError(f"no reference for {norm!r}")


def network(task: Task) -> nn.Module:
    layers: list[nn.Module] = []
    if task.kind == "mlp":
        features = 28 * 28
        layers.append(nn.Flatten())
        for _ in range(task.depth):
            layers += [
                nn.Linear(features, task.width),
                norm_layer(task.norm, task.width),
                nn.ReLU(),
            ]
            features = task.width
        return nn.Sequential(*layers, nn.Linear(features, 10))
    channels, size = 3, 32
    for layer in range(task.depth):
        stage, first = divmod(layer, task.depth // 3)
        width, stride = task.width * 2**stage, 2 if stage and not first else 1
        size //= stride
        layers += [
            nn.Conv2d(channels, width, 3, stride=stride, padding=1),
            norm_layer(task.norm, width, size),
            nn.ReLU(),
        ]
        channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def optimizer(task: Task, net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=task.lr, momentum=0.9)


def datasets(task: Task) -> tuple[Dataset, Dataset, Dataset]:
    """Training, validation and test set, with the usual transforms."""
    t = vision.transforms
    if task.kind == "mlp":
        plain = t.Compose([t.ToTensor(), t.Normalize((0.1307,), (0.3081,))])
        full = vision.datasets.MNIST(task.root, train=True, transform=plain)
        test = vision.datasets.MNIST(task.root, train=False, transform=plain)
        train, validation = random_split(full, [len(full) - task.validation, task.validation])
        return train, validation, test
    usual = [t.ToTensor(), t.Normalize((0.491, 0.482, 0.447), (0.247, 0.243, 0.262))]
    plain = t.Compose(usual)
    augmented = t.Compose([t.RandomCrop(32, padding=4), t.RandomHorizontalFlip(), *usual])
    root = Path(task.root)
    full = vision.datasets.ImageFolder(str(root / "train"), transform=augmented)
    unchanged = vision.datasets.ImageFolder(str(root / "train"), transform=plain)
    order = torch.randperm(len(full)).tolist()
    train = torch.utils.data.Subset(full, order[task.validation :])
    validation = torch.utils.data.Subset(unchanged, order[: task.validation])
    test = vision.datasets.ImageFolder(str(root / "test"), transform=plain)
    return train, validation, test


def loaders(task: Task) -> tuple[DataLoader, DataLoader, DataLoader]:
    train, validation, test = datasets(task)
    common = {"num_workers": task.workers, "persistent_workers": task.workers > 0}
    return (
        DataLoader(train, task.batch_size, shuffle=True, drop_last=True, **common),
        DataLoader(validation, 1000, **common),
        DataLoader(test, 1000, **common),
    )
