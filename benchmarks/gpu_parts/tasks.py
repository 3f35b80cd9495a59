"""What is trained: three networks, images that are made on the spot, and a run's settings.

The images are no photographs, since a machine without a network has none: each class is a smooth
pattern of its own, shifted and under noise, so that accuracy tells whether something was learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from normbench.data.splits import split
from normbench.models import MODELS, ModelSettings
from normbench.models.network import Blueprint
from normbench.norms import NormPolicy, make_method
from normbench.seeding import stream

CLASSES = 10
ONLY_THE_ENDS = 10**9  # steps between probes: the first and the last are probed


@dataclass(frozen=True)
class Task:
    """A network, its images and its budget. side, channels: of an image; training, validation,
    test: images of each part; options: of the kind of network."""

    name: str
    kind: str
    options: Mapping[str, Any]
    side: int
    channels: int
    training: int
    epochs: int
    bias: bool = True
    activation: str = "relu"
    batch_size: int = 128
    validation: int = 1000
    test: int = 2000
    lr: float = 0.05

    @property
    def steps(self) -> int:
        """Of a run."""
        return self.epochs * (self.training // self.batch_size)


MLP = Task("mlp", "mlp", {"depth": 10, "width": 256}, 28, 1, training=20480, epochs=3)
CNN = Task("cnn", "cnn", {"depth": 9, "stages": 3, "width": 32}, 32, 3, training=8192, epochs=2)
RESNET = Task("resnet-20", "resnet", {"depth": 20, "width": 16}, 32, 3, 8192, epochs=2, bias=False)
TASKS = (MLP, CNN, RESNET)

_SMALL = {"training": 128, "validation": 40, "test": 40, "batch_size": 32, "epochs": 1, "side": 8}
TINY = (
    replace(MLP, options={"depth": 3, "width": 16}, **_SMALL),
    replace(CNN, options={"depth": 3, "stages": 3, "width": 4}, **_SMALL),
    replace(RESNET, options={"depth": 8, "width": 4}, **_SMALL),
)


@dataclass(frozen=True, eq=False)
class Made:
    """Images as ``normbench.data.Dataset`` holds them, made instead of read.

    train_images, test_images: uint8 [N, H, W, C]; labels: int64 [N]; mean, std: per channel, in
    units of 255.
    """

    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]
    mean: tuple[float, ...]
    std: tuple[float, ...]

    num_classes = CLASSES

    @property
    def image_shape(self) -> tuple[int, int, int]:
        _, height, width, channels = self.train_images.shape
        return height, width, channels

    def split(
        self, validation: int, rng: np.random.Generator
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """(training, validation) indices, stratified."""
        return split(self.train_labels, validation, rng)


def made(task: Task) -> Made:
    """The images of a task, the same at every call."""
    train, train_labels = _images(task, "train", task.training + task.validation)
    test, test_labels = _images(task, "test", task.test)
    pixels = train.reshape(-1, task.channels) / 255
    mean, std = (tuple(map(float, f(pixels, axis=0))) for f in (np.mean, np.std))
    return Made(train, train_labels, test, test_labels, mean, std)


def _images(
    task: Task, part: str, count: int
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    side, channels = task.side, task.channels
    coarse = stream(0, "gpu", "patterns").normal(size=(CLASSES, 4, 4, channels))
    patterns = np.kron(coarse, np.ones((1, -(-side // 4), -(-side // 4), 1)))[:, :side, :side]
    rng = stream(0, "gpu", part)
    labels = np.arange(count) % CLASSES
    images = np.empty((count, side, side, channels), np.uint8)
    for index, label in enumerate(labels):
        down, right = rng.integers(-side // 8, side // 8 + 1, 2)
        noise = rng.standard_normal((side, side, channels), dtype=np.float32)
        pattern = np.roll(patterns[label], (down, right), (0, 1))
        images[index] = np.clip(128 + 25 * pattern + 90 * noise, 0, 255)
    return images, labels


def run_config(
    task: Task,
    norm: str = "batch",
    *,
    seed: int = 0,
    device: str = "cpu",
    stack: int = 1,
    compile: bool = False,
    precision: str = "fp32",
    evaluate_every: int | None = None,
    **norm_options: Any,
) -> Any:
    """What training reads of a ``normbench.config.RunConfig``, which needs more than PyTorch.

    ``tests/test_gpu_benchmark.py`` holds it against the real one.
    """
    blueprint = Blueprint(
        task.kind,
        MODELS[task.kind].Options(**task.options),
        ModelSettings(task.activation, "he_normal", task.bias, "pre"),
    )
    options = norm_options
    return SimpleNamespace(
        seed=seed,
        lane=seed % stack,
        model=SimpleNamespace(blueprint=lambda: blueprint),
        normalization=SimpleNamespace(eval="ema"),
        norm=SimpleNamespace(
            eval=None, method=lambda _: make_method(norm, NormPolicy(), **options)
        ),
        data=SimpleNamespace(
            batch_size=task.batch_size,
            validation=task.validation,
            split_seed=None,
            augment=SimpleNamespace(crop=0, flip=False),
        ),
        optimizer=SimpleNamespace(
            kind="sgd",
            lr=task.lr,
            momentum=0.9,
            nesterov=False,
            weight_decay=0.0,
            decay_norms=False,
            clip_norm=None,
            schedule="cosine",
            warmup_steps=0,
            reference_batch_size=None,
        ),
        training=SimpleNamespace(
            steps=task.steps,
            epochs=None,
            evaluations=None,
            evaluate_every=evaluate_every or task.training // task.batch_size,
            eval_batch_size=1000,
            precision=precision,
        ),
        probes=SimpleNamespace(every=ONLY_THE_ENDS, steps=None),
        runtime=SimpleNamespace(device=device, threads=1, stack=stack, compile=compile),
    )
