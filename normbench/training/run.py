"""One training run, from step 0 or from a checkpoint, as a generator of events.

It never prints and never chooses a file name. All its randomness comes from named streams, so the
events are a pure function of the run's config and the data, clock readings aside: stopped and
continued, or probed and not probed, a run ends in the same weights.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from normbench.data import Dataset, epoch_order, split
from normbench.data.batches import Augment, DeviceData
from normbench.models import Network
from normbench.models.base import build
from normbench.probes import Tap, probe_steps
from normbench.seeding import stream
from normbench.training import events
from normbench.training.budget import cadence, steps_per_epoch, total_steps
from normbench.training.clock import Clock
from normbench.training.optimizers import full_rate, learning_rate, make_optimizer

if TYPE_CHECKING:
    from normbench.config import RunConfig

CHECKPOINT_SECONDS = 20.0
PROGRESS_SECONDS = 0.25


def make_network(run: RunConfig, dataset: Dataset) -> Network:
    """The run's network at step 0, on the CPU."""
    return build(
        run.model.kind,
        run.model.options(),
        run.model.common(),
        run.norm.method(run.normalization),
        dataset.image_shape,
        dataset.num_classes,
        run.seed,
    )


class Run:
    """The state of one run on its device: network, optimizer, data, and how far it has come."""

    def __init__(self, run: RunConfig, dataset: Dataset):
        self.config = run
        self.device = torch.device(run.runtime.device)
        seed = run.seed if run.data.split_seed is None else run.data.split_seed
        self.train_indices, self.validation_indices = split(
            dataset.train_labels, run.data.validation, stream(seed, "split")
        )
        self.per_epoch = steps_per_epoch(run, len(self.train_indices))
        self.steps = total_steps(run, len(self.train_indices))

        network = make_network(run, dataset)
        self.backbone_sha256 = network.backbone_sha256()
        self.network = network.to(self.device)
        if network.layout == "image":
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = make_optimizer(self.network, run.optimizer)
        self.full_rate = full_rate(run.optimizer, run.data.batch_size)
        self.clock = Clock(self.device)
        layout = network.layout
        self.data = DeviceData.of(dataset, "train", device=self.device, layout=layout)
        self.test_data = DeviceData.of(dataset, "test", device=self.device, layout=layout)
        self.augment = Augment(run.data.augment.crop, run.data.augment.flip)
        self.step = 0
        self.batches_sha256 = ""
        self.evaluate_every = cadence(run, self.steps)
        self.losses = torch.zeros(min(self.evaluate_every, self.steps), device=self.device)
        self.first_loss_step = 0  # the update whose loss stands at losses[0]
        self.order: Tensor | None = None

    @property
    def parameters(self) -> int:
        """How many numbers the network learns."""
        return sum(p.numel() for p in self.network.parameters())

    def autocast(self) -> Any:
        """The precision of forward passes."""
        if self.config.training.precision == "bf16":
            return torch.autocast(self.device.type, torch.bfloat16)
        return nullcontext()

    # -- the update ---------------------------------------------------------------------------

    def update(self, tap: Tap | None = None) -> None:
        """One step of the optimizer on the next batch."""
        config, place = self.config, self.step % self.per_epoch
        assert self.order is not None
        epoch, size = self.step // self.per_epoch, config.data.batch_size
        x, y = self.data.augmented(
            self.order[place * size : (place + 1) * size],
            self.augment,
            seed=config.seed,
            epoch=epoch,
            step=place,
        )
        rate = learning_rate(config.optimizer, self.full_rate, self.step, self.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        with tap.watching() if tap else nullcontext():
            with self.autocast():
                loss = F.cross_entropy(self.network(x), y)
            loss.backward()
        if tap:
            tap.after_backward()
        if config.optimizer.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), config.optimizer.clip_norm)
        self.optimizer.step()
        self.losses[self.step - self.first_loss_step] = loss.detach()
        self.step += 1

    def start_epoch(self) -> events.EpochStarted:
        """Draw the order of the epoch that begins at the current step, and chain its hash."""
        epoch = self.step // self.per_epoch
        order = self._draw_order(epoch)
        consumed = min(self.per_epoch, self.steps - self.step) * self.config.data.batch_size
        digest = hashlib.sha256(self.batches_sha256.encode())
        digest.update(np.ascontiguousarray(order[:consumed], dtype="<i8").tobytes())
        self.batches_sha256 = digest.hexdigest()
        return events.EpochStarted(self.step, epoch, self.batches_sha256)

    def _draw_order(self, epoch: int) -> np.ndarray:
        order = self.train_indices[epoch_order(self.config.seed, epoch, len(self.train_indices))]
        self.order = torch.from_numpy(order).to(self.device)
        return order

    # -- evaluation ---------------------------------------------------------------------------

    def evaluate(self, data: DeviceData, indices: np.ndarray) -> tuple[float, float]:
        """Mean loss and accuracy over ``indices``, in evaluation mode, without augmentation."""
        self.network.eval()
        loss = torch.zeros((), dtype=torch.float64, device=self.device)
        correct = torch.zeros((), dtype=torch.float64, device=self.device)
        with self.clock.evaluating(), torch.no_grad():
            for x, y in data.eval_batches(indices, self.config.training.eval_batch_size):
                with self.autocast():
                    logits = self.network(x)
                loss += F.cross_entropy(logits.float(), y, reduction="sum")
                correct += (logits.argmax(1) == y).sum()
            total_loss, right = torch.stack([loss, correct]).tolist()
        self.network.train()
        return total_loss / len(indices), right / len(indices)

    def logged_losses(self) -> Tensor:
        """Losses of the updates since the last evaluation, on the CPU. Waits for the device."""
        return self.losses[: self.step - self.first_loss_step].cpu()

    # -- checkpoints --------------------------------------------------------------------------

    def checkpoint(self) -> events.Checkpointed:
        """All that is needed to continue; readable with ``torch.load(weights_only=True)``."""
        buffer = io.BytesIO()
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "batches_sha256": self.batches_sha256,
            "losses": self.logged_losses(),
            "first_loss_step": self.first_loss_step,
            "clock": self.clock.readings(),
        }
        torch.save(state, buffer)
        return events.Checkpointed(self.step, buffer.getvalue())

    def restore(self, state: bytes) -> None:
        """Continue where ``checkpoint`` stood."""
        saved = torch.load(io.BytesIO(state), map_location=self.device, weights_only=True)
        self.step = saved["step"]
        self.network.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.batches_sha256 = saved["batches_sha256"]
        self.first_loss_step = saved["first_loss_step"]
        self.losses[: len(saved["losses"])] = saved["losses"].to(self.device)
        self.clock = Clock(self.device, **saved["clock"])
        if self.step % self.per_epoch:
            self._draw_order(self.step // self.per_epoch)


def train(
    config: RunConfig,
    dataset: Dataset,
    *,
    resume: bytes | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[events.Event]:
    """Train one run and yield its events as they happen.

    resume: the state of an earlier ``Checkpointed`` event of the same config; events up to its
    step are not repeated. should_stop: asked before every update; when it says so, the run yields
    a checkpoint and ``Stopped``. Raises ConfigError when the data cannot serve the config.
    """
    run = Run(config, dataset)
    if resume is not None:
        run.restore(resume)
    run.network.train()
    yield events.Started(run.step, run.steps, run.parameters, run.backbone_sha256)
    if resume is None:
        yield _evaluated(run)
    yield from _train_to_end(run, should_stop)


def _train_to_end(run: Run, should_stop: Callable[[], bool]) -> Iterator[events.Event]:
    every = run.evaluate_every
    probed = set(_probe_schedule(run))
    last_checkpoint = last_progress = time.monotonic()
    mark = run.clock.now()

    while run.step < run.steps:
        if should_stop():
            run.clock.seconds += run.clock.now() - mark
            if (diverged := _diverged_at(run)) is not None:
                yield events.Diverged(diverged)
                yield _finished(run)
                return
            yield run.checkpoint()
            yield events.Stopped(run.step)
            return
        if run.step % run.per_epoch == 0:
            run.clock.seconds += run.clock.now() - mark
            yield run.start_epoch()
            mark = run.clock.now()

        if run.step in probed:
            run.clock.seconds += run.clock.now() - mark
            yield _probed_update(run)
            mark = run.clock.now()
        else:
            run.update()
            run.clock.steps += 1

        now = time.monotonic()
        if run.step % every == 0 or run.step == run.steps:
            run.clock.seconds += run.clock.now() - mark
            diverged = _diverged_at(run)
            if diverged is not None:  # the last checkpoint stays the last good one
                yield events.Diverged(diverged)
                yield _finished(run)
                return
            yield _evaluated(run)
            if run.step == run.steps or now - last_checkpoint > CHECKPOINT_SECONDS:
                yield run.checkpoint()
                last_checkpoint = now
            mark = run.clock.now()
        elif now - last_progress > PROGRESS_SECONDS:
            run.clock.seconds += run.clock.now() - mark
            yield events.Progress(run.step, float(run.losses[run.step - run.first_loss_step - 1]))
            last_progress = now
            mark = run.clock.now()

    loss, accuracy = run.evaluate(run.test_data, np.arange(len(run.test_data)))
    yield events.Tested(run.step, loss, accuracy)
    yield _finished(run)


def _probe_schedule(run: Run) -> list[int]:
    probes = run.config.probes
    if probes.every is not None:
        return probe_steps(run.steps, probes.every)
    return probe_steps(run.steps) if probes.steps == "log" else []


def _probed_update(run: Run) -> events.Probed:
    start, step, tap = run.clock.now(), run.step, Tap(run.network)
    run.update(tap)
    quantities = tap.after_step()
    run.clock.probed_seconds += run.clock.now() - start
    run.clock.probed_steps += 1
    return events.Probed(step, quantities)


def _evaluated(run: Run) -> events.Evaluated:
    losses = run.logged_losses()
    train_loss = losses.double().mean().item() if len(losses) else None
    run.first_loss_step = run.step
    loss, accuracy = run.evaluate(run.data, run.validation_indices)
    return events.Evaluated(
        run.step,
        run.step / run.per_epoch,
        run.step * run.config.data.batch_size,
        train_loss,
        loss,
        accuracy,
        run.clock.train_seconds,
    )


def _diverged_at(run: Run) -> int | None:
    """The first update since the last evaluation whose loss was not finite."""
    bad = torch.nonzero(~torch.isfinite(run.logged_losses())).flatten()
    return run.first_loss_step + int(bad[0]) if len(bad) else None


def _finished(run: Run) -> events.Finished:
    clock = run.clock
    return events.Finished(
        run.step, clock.train_seconds, clock.evaluate_seconds, clock.probe_seconds
    )
