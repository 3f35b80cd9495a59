"""What a run tells the world, in the order it happens. Steps count updates made so far.

Fields whose name ends in ``_seconds`` are clock readings; all others are the same, bit for bit,
whenever the same run is repeated. Non-finite values stay what they are here; the store writes
them as null.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Started:
    """A run begins or, with ``step`` above 0, continues from a checkpoint.

    environment: of the machine that trains it, where that is not the driver's. theory_inputs: what
    theory needs to know of the network at step 0: ``training.theory_inputs``, less the input.
    swaps: which norms were exchanged for what: ``models.network.Network.told_swaps``.
    own_terms: what the method's paper fixes, so that it is not as for other norms, in words.
    """

    step: int
    steps: int
    parameters: int
    backbone_sha256: str
    environment: dict[str, Any] | None = None
    theory_inputs: dict[str, Any] | None = None
    swaps: dict[str, Any] | None = None
    own_terms: tuple[str, ...] = ()


@dataclass(frozen=True)
class EpochStarted:
    """``batches_sha256`` chains the batch order of this epoch to those before it."""

    step: int
    epoch: int
    batches_sha256: str


@dataclass(frozen=True)
class Evaluated:
    """Validation after ``step`` updates.

    train_loss: mean over the updates since the last evaluation (null before the first update).
    train_seconds: training alone, from the start of the run, without evaluation and probes.
    train_accuracy: as val_accuracy, without augmentation, over a fixed part of the training split.
    """

    step: int
    epoch: float
    examples: int
    train_loss: float | None
    val_loss: float
    val_accuracy: float
    train_seconds: float
    train_accuracy: float = math.nan


@dataclass(frozen=True)
class Probed:
    """The quantities of update ``step`` (counted from 0: step 0 sees the initial weights).

    quantities: one list of [L] values a quantity, layers counted from the input.
    """

    step: int
    quantities: dict[str, list[float]]


@dataclass(frozen=True)
class Progress:
    """A sign of life between evaluations; not part of the record. loss: the latest one."""

    step: int
    loss: float


@dataclass(frozen=True)
class Checkpointed:
    """Everything needed to continue after ``step`` updates, as ``torch.save`` wrote it."""

    step: int
    state: bytes


@dataclass(frozen=True)
class Diverged:
    """The run ends here: the training loss of update ``step`` (from 0) was not finite.

    Or its evaluation after ``step`` updates was not, which is what that update would have seen.
    """

    step: int


@dataclass(frozen=True)
class Tested:
    """The test set, seen once, after the last update.

    val_accuracy_precise: the validation accuracy with statistics of the training split in place of
    the running averages; NaN where a network keeps none. misclassified: (index into the test part,
    class it is taken for) of some of those that come out wrong: see ``Run.misclassified``.
    """

    step: int
    test_loss: float
    test_accuracy: float
    val_accuracy_precise: float = math.nan
    misclassified: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class Stopped:
    """The run was asked to stop after ``step`` updates; its last checkpoint is of that step."""

    step: int


@dataclass(frozen=True)
class Finished:
    """All updates made, or diverged. Clock readings cover the whole run, resumptions included."""

    step: int
    train_seconds: float
    evaluate_seconds: float
    probe_seconds: float


@dataclass(frozen=True)
class Failed:
    """The run crashed. reason: one line for a table; details: the traceback, for a bug report."""

    reason: str
    details: str = ""


Event = (
    Started
    | EpochStarted
    | Evaluated
    | Probed
    | Progress
    | Checkpointed
    | Diverged
    | Tested
    | Stopped
    | Finished
    | Failed
)

ENDS = (Finished, Stopped, Failed)
"""What a run's last event is."""
