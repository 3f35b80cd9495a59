"""The state of one training run: network, optimizer, data, and how far it has come.

All its randomness comes from named streams, so it is a pure function of the run's config, the data
and the step.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from operator import sub
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from normbench.data import epoch_order
from normbench.data.batches import Augment, DeviceData
from normbench.models.assemble import assemble, start_from_data
from normbench.models.network import Network
from normbench.norms import EvalStatistics
from normbench.probes import ProbeRecorder
from normbench.seeding import stream
from normbench.training import events
from normbench.training.budget import evaluation_steps, steps_per_epoch, total_steps
from normbench.training.clock import Clock
from normbench.training.evaluation import (
    batches_as_in_training,
    evaluation,
    keepers,
    precise_batches,
    precise_over,
)
from normbench.training.optimizers import (
    apply_bounds,
    full_rate,
    learning_rate,
    make_optimizer,
    own_terms,
    parameter_groups,
    set_rates,
)
from normbench.training.theory_inputs import inputs_at_start

if TYPE_CHECKING:
    from normbench.config import RunConfig
    from normbench.data import Dataset


TRAIN_EXAMPLES = 1000
"""The most of the training split that an evaluation looks at; as many as validate, if fewer."""


TEST_EXAMPLES, MISTAKES = 1000, 100
"""Of the test part, among which mistakes are looked for, and how many are kept."""

INIT_EXAMPLES = 256
"""Of the training split, for initial values that go by data."""


def make_network(run: RunConfig, dataset: Dataset) -> Network:
    """The run's network at step 0, on the CPU."""
    return assemble(
        run.model.blueprint(),
        run.norm.method(run.normalization),
        dataset.image_shape,
        dataset.num_classes,
        run.seed,
        run.data.batch_size,
    )


class Run:
    """The state of one run on its device.

    stacked_with: a run on the same device and data, whose copy of the images it shares.
    """

    def __init__(self, run: RunConfig, dataset: Dataset, *, stacked_with: Run | None = None):
        self.config = run
        self.device = torch.device(run.runtime.device)
        seed = run.seed if run.data.split_seed is None else run.data.split_seed
        self.train_indices, self.validation_indices = dataset.split(
            run.data.validation, stream(seed, "split")
        )
        few = min(TRAIN_EXAMPLES, len(self.validation_indices))
        # Drawn, since a dataset may be sorted by class.
        drawn = stream(seed, "train accuracy").permutation(len(self.train_indices))
        self.watched_indices = self.train_indices[np.sort(drawn[:few])]
        self.per_epoch = steps_per_epoch(run, len(self.train_indices))
        self.steps = total_steps(run, len(self.train_indices))

        self.assembled = make_network(run, dataset)
        if self.assembled.method.starts_from_data():
            images = DeviceData.of(dataset, "train", layout=self.assembled.layout)
            drawn = stream(seed, "init", "data").permutation(self.train_indices)[:INIT_EXAMPLES]
            start_from_data(self.assembled, images.batch(drawn)[0], run.seed)
        self.backbone_sha256 = self.assembled.backbone_sha256
        self.theory_inputs = inputs_at_start(self.assembled, run.data.batch_size)
        self.network = self.assembled.module.to(self.device)
        if self.assembled.layout == "image":
            self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.keeps = bool(keepers(self.network))
        self.eval_statistics: EvalStatistics = run.norm.eval or run.normalization.eval
        self.evaluated_with: EvalStatistics | None = None  # while it is evaluated
        self.scheduled = [m for m in self.network.modules() if hasattr(m, "on_progress")]
        parameters = dict(self.network.named_parameters())
        groups = parameter_groups(self.assembled, parameters, run.optimizer)
        self.optimizer = make_optimizer(groups, run.optimizer)
        self.full_rate = full_rate(run.optimizer, run.data.batch_size)
        self.clock = Clock(self.device)
        of = partial(DeviceData.of, dataset, device=self.device, layout=self.assembled.layout)
        self.data: DeviceData = stacked_with.data if stacked_with else of("train")
        self.test_data: DeviceData = stacked_with.test_data if stacked_with else of("test")
        self.augment = Augment(run.data.augment.crop, run.data.augment.flip)
        self.step = 0
        self.batches_sha256 = ""
        self.evaluation_steps = evaluation_steps(run, self.steps)
        longest = max(map(sub, self.evaluation_steps, [0, *self.evaluation_steps]))
        # Twice: a checkpoint of an earlier version may stand between other evaluations.
        self.losses = torch.zeros(2 * longest, device=self.device)
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

    def started(self) -> events.Started:
        """What there is to tell before the first update, or the first since a checkpoint."""
        return events.Started(
            self.step,
            self.steps,
            self.parameters,
            self.backbone_sha256,
            theory_inputs=dict(vars(self.theory_inputs)),
            swaps=self.assembled.told_swaps(),
            own_terms=own_terms(self.assembled, self.config.optimizer),
        )

    # -- the update ---------------------------------------------------------------------------

    def next_batch(self) -> tuple[Tensor, Tensor]:
        """The batch of the update that comes next. The epoch must have been started."""
        assert self.order is not None
        epoch, batch = divmod(self.step, self.per_epoch)
        size = self.config.data.batch_size
        return self.data.augmented(
            self.order[batch * size : (batch + 1) * size],
            self.augment,
            seed=self.config.seed,
            epoch=epoch,
            step=batch,
        )

    def learning_rate(self) -> float:
        """The rate of the update that comes next."""
        return learning_rate(self.config.optimizer, self.full_rate, self.step, self.steps)

    def backward(self, x: Tensor, y: Tensor) -> Tensor:
        """Leave dL/dW in every parameter's ``grad``; the loss, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        with self.autocast():
            loss = F.cross_entropy(self.network(x), y)
        loss.backward()
        return loss.detach()

    def tell_progress(self) -> None:
        """The share of the budget that is done, to those layers that go by it."""
        for module in self.scheduled:
            module.on_progress(self.step / self.steps)  # type: ignore[operator]

    def update(self, recorder: ProbeRecorder | None = None) -> None:
        """One step of the optimizer on the next batch."""
        x, y = self.next_batch()
        self.tell_progress()
        set_rates(self.optimizer, self.learning_rate())
        if self.assembled.draws:
            torch.manual_seed(int(stream(self.config.seed, "torch", self.step).integers(2**63)))
        with recorder.recording() if recorder else nullcontext():
            loss = self.backward(x, y)
        if recorder:
            recorder.after_backward(self.learning_rate())
        if self.config.optimizer.clip_norm is not None:
            clip = self.config.optimizer.clip_norm
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        self.optimizer.step()
        apply_bounds(self.assembled, self.network.get_parameter)
        self.losses[self.step - self.first_loss_step] = loss
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

    @contextmanager
    def evaluation(self, statistics: EvalStatistics | None = None) -> Iterator[None]:
        """Evaluation mode, with the statistics of the config or those asked for.

        Within another one, that one's. Afterwards training goes on as if nobody had looked.
        """
        if self.evaluated_with is not None:
            yield
            return
        self.evaluated_with = (statistics or self.eval_statistics) if self.keeps else "ema"
        try:
            with (
                self.clock.evaluating(),
                torch.no_grad(),
                evaluation(self.network, self.evaluated_with, self._gather),
            ):
                yield
        finally:
            self.evaluated_with = None

    def evaluate(self, data: DeviceData, indices: np.ndarray) -> tuple[float, float]:
        """Mean loss and accuracy over ``indices``, in evaluation mode, without augmentation."""
        with self.evaluation():
            loss = torch.zeros((), dtype=torch.float64, device=self.device)
            correct = torch.zeros((), dtype=torch.float64, device=self.device)
            for _, x, y in self._evaluated(data, indices):
                with self.autocast():
                    logits = self.network(x)
                loss += F.cross_entropy(logits.float(), y, reduction="sum")
                correct += (logits.argmax(1) == y).sum()
            total_loss, right = torch.stack([loss, correct]).tolist()
        return total_loss / len(indices), right / len(indices)

    def misclassified(self) -> tuple[tuple[int, int], ...]:
        """(index, class it is taken for) of test images that come out wrong.

        The first ``MISTAKES`` of those among ``TEST_EXAMPLES``, drawn once for all runs on these
        data, so that in a dataset sorted by class they are of all classes.
        """
        few = stream(0, "misclassified").permutation(len(self.test_data))[:TEST_EXAMPLES]
        taken_for: dict[int, int] = {}
        with self.evaluation():
            for indices, x, y in self._evaluated(self.test_data, np.sort(few)):
                with self.autocast():
                    taken = self.network(x).argmax(1)
                wrong = (taken != y).cpu().numpy()
                taken_for |= zip(
                    indices[wrong].tolist(), taken.cpu().numpy()[wrong].tolist(), strict=True
                )
        return tuple((int(i), taken_for[i]) for i in few.tolist() if i in taken_for)[:MISTAKES]

    def train_accuracy(self) -> float:
        """Accuracy over a fixed part of the training split, as ``evaluate`` has it."""
        return self.evaluate(self.data, self.watched_indices)[1]

    def precise_accuracy(self) -> float:
        """Validation accuracy with ``precise`` statistics; NaN of a network that keeps none."""
        if not self.keeps:
            return math.nan
        with self.evaluation("precise"):
            return self.evaluate(self.data, self.validation_indices)[1]

    def _gather(self, network: nn.Module) -> None:
        size, seed = self.config.data.batch_size, self.config.seed

        def forward(indices: np.ndarray) -> None:
            with self.autocast():
                network(self.data.batch(indices)[0])

        batches = precise_batches(self.train_indices, size, seed)
        precise_over(network, (partial(forward, batch) for batch in batches))

    def _evaluated(
        self, data: DeviceData, indices: np.ndarray
    ) -> Iterator[tuple[np.ndarray, Tensor, Tensor]]:
        """All of ``indices`` in batches: which, images and labels."""
        if self.evaluated_with == "batch":
            for batch in batches_as_in_training(
                indices, self.config.data.batch_size, self.config.seed
            ):
                yield batch, *data.batch(batch)
            return
        size = self.config.training.eval_batch_size
        for at, (x, y) in enumerate(data.eval_batches(indices, size)):
            yield indices[at * size : (at + 1) * size], x, y

    def logged_losses(self) -> Tensor:
        """Losses of the updates since the last evaluation, on the CPU. Waits for the device."""
        return self.losses[: self.step - self.first_loss_step].cpu()

    def is_finite(self) -> bool:
        """Whether every weight and running statistic is a number. Waits for the device."""
        values = [t for t in self.network.state_dict().values() if t.is_floating_point()]
        return bool(torch.stack([t.isfinite().all() for t in values]).all())

    # -- checkpoints --------------------------------------------------------------------------

    def checkpoint(self) -> events.Checkpointed:
        """All that is needed to continue; readable with ``torch.load(weights_only=True)``.

        After the last update that is less the optimizer's state, for Adam two thirds of the file.
        """
        buffer = io.BytesIO()
        state = {
            "step": self.step,
            # Copies: in a stack these are views, and a view is saved with all that it is a view of.
            "network": _copied(self.network.state_dict()),
            "batches_sha256": self.batches_sha256,
            "losses": self.logged_losses(),
            "first_loss_step": self.first_loss_step,
            "clock": self.clock.readings(),
        }
        if self.step < self.steps:
            state["optimizer"] = _copied(self.optimizer.state_dict())
        torch.save(state, buffer)
        return events.Checkpointed(self.step, buffer.getvalue())

    def restore(self, state: bytes) -> None:
        """Continue where ``checkpoint`` stood."""
        saved = torch.load(io.BytesIO(state), map_location=self.device, weights_only=True)
        self.step = saved["step"]
        self.network.load_state_dict(saved["network"])
        if self.step < self.steps:
            self.optimizer.load_state_dict(saved["optimizer"])
        self.batches_sha256 = saved["batches_sha256"]
        self.first_loss_step = saved["first_loss_step"]
        self.losses[: len(saved["losses"])] = saved["losses"].to(self.device)
        self.clock = Clock(self.device, **saved["clock"])
        if self.step % self.per_epoch:
            self._draw_order(self.step // self.per_epoch)


def step_of(state: bytes) -> int:
    """The step at which a checkpoint was made."""
    saved = torch.load(io.BytesIO(state), map_location="cpu", weights_only=True)
    assert isinstance(saved["step"], int)
    return saved["step"]


def _copied(values: Any) -> Any:
    """The same nested dicts and lists with tensors of their own."""
    if isinstance(values, Tensor):
        return values.clone()
    if isinstance(values, Mapping):
        return {key: _copied(value) for key, value in values.items()}
    return [_copied(value) for value in values] if isinstance(values, list) else values
