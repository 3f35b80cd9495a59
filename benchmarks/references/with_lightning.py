"""The same with Lightning, as its documentation shows it. Called as ``plain`` is."""

from __future__ import annotations

import json
import logging
import sys
import time
import warnings

from benchmarks.references.task import Task, loaders, network, optimizer  # torchvision first

# isort: split
import lightning
import torch
from torch import Tensor
from torch.nn import functional as F


class Classifier(lightning.LightningModule):
    def __init__(self, task: Task):
        super().__init__()
        self.task = task
        self.net = network(task)

    def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
        x, y = batch
        loss = F.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        x, y = batch
        self.log("val_accuracy", (self.net(x).argmax(1) == y).float().mean())

    def test_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
        x, y = batch
        self.log("test_accuracy", (self.net(x).argmax(1) == y).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimizer(self.task, self.net)


def run(task: Task) -> dict[str, float]:
    lightning.seed_everything(task.seed, verbose=False)
    train, validation, test = loaders(task)
    trainer = lightning.Trainer(
        max_epochs=task.epochs,
        accelerator="cpu" if task.device == "cpu" else "gpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        logger=False,
        enable_checkpointing=False,
    )
    net = Classifier(task)
    started = time.perf_counter()
    trainer.fit(net, train, validation)
    [found] = trainer.test(net, test, verbose=False)
    return {"seconds": time.perf_counter() - started, "test_accuracy": found["test_accuracy"]}


if __name__ == "__main__":
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    for values in json.loads(sys.argv[1]):
        print(json.dumps(run(Task(**values))), flush=True)
