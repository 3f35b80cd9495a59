"""A training step under Cockpit's economy preset, as its documentation shows it."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import torch
from backpack import extend
from cockpit import Cockpit
from cockpit.utils.configuration import configuration
from torch import nn

from normbench.data import Dataset

ROUNDS, STEPS = 5, 10


def network(depth: int, width: int) -> nn.Sequential:
    """The MLP of the benchmarks without a norm."""
    layers: list[nn.Module] = []
    features = 28 * 28
    for _ in range(depth):
        layers += [nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, 10))


class Training:
    """A network and its steps on random batches of MNIST."""

    def __init__(self, dataset: Dataset, *, watched: bool):
        torch.manual_seed(0)
        pixels = dataset.train_images[:6400].reshape(-1, 28 * 28)
        self.images = torch.from_numpy(pixels).float() / 255
        self.labels = torch.from_numpy(dataset.train_labels[:6400])
        self.net = extend(network(10, 256))
        self.loss = extend(nn.CrossEntropyLoss(reduction="mean"))
        self.losses = nn.CrossEntropyLoss(reduction="none")
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.05, momentum=0.9)
        quantities = configuration("economy")
        self.cockpit = Cockpit(self.net.parameters(), quantities=quantities) if watched else None
        self.step = 0

    def update(self) -> None:
        where = torch.randint(len(self.images), (128,))
        x, y = self.images[where], self.labels[where]
        self.optimizer.zero_grad()
        outputs = self.net(x)
        loss = self.loss(outputs, y)
        if self.cockpit is None:
            loss.backward()
        else:
            info: dict[str, Any] = {
                "batch_size": len(x),
                "individual_losses": self.losses(outputs, y).detach(),
                "loss": loss,
                "optimizer": self.optimizer,
            }
            with self.cockpit(self.step, info=info):
                loss.backward(create_graph=self.cockpit.create_graph(self.step))
        self.optimizer.step()
        self.step += 1


def times_as_long(dataset: Dataset) -> float:
    """A step with Cockpit over a step without, medians of this thread's time."""
    contestants = [Training(dataset, watched=watched) for watched in (True, False)]
    times: list[list[float]] = [[], []]
    for round_ in range(ROUNDS + 1):
        for training, found in zip(contestants, times, strict=True):
            start = time.thread_time()
            for _ in range(STEPS):
                training.update()
            if round_:  # the first one warms up
                found.append(time.thread_time() - start)
    return median(times[0]) / median(times[1])
