"""Experiments on disk without training: an executor that plays events back, through the driver.

``from scripted import ...``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from normbench.config import ExperimentConfig
from normbench.data import Dataset
from normbench.execution import Outcome, Task, execute
from normbench.plan import PlannedRun, expand
from normbench.store import ExperimentStore
from normbench.training import events
from normbench.training.events import Event

Script = Callable[[PlannedRun], Iterable[Event] | None]

LAYERS = 3


class ScriptedExecutor:
    """Plays each run's events in turn; nothing is trained."""

    def __init__(self, script: Callable[[Task], Iterable[Event]]):
        self.script = script
        self.tasks: list[Task] = []
        self.stopped = self.closed = False

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[str, Event] | None]:
        for task in tasks:
            self.tasks.append(task)
            for event in self.script(task):
                yield task.key, event
            if self.stopped:
                return

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None:
        self.closed = True


def play(
    results: Path,
    experiment: ExperimentConfig,
    dataset: Dataset,
    script: Script,
) -> Outcome:
    """Put an experiment on disk. script: a planned run's events; None leaves it untouched."""
    plan = expand(experiment)
    store = ExperimentStore(results, experiment.name)
    told = {run.folder: list(found) for run in plan if (found := script(run)) is not None}
    store.lock()
    try:
        store.write_plan(
            experiment.resolved(), [run.record() for run in plan], given=experiment.given()
        )
        played = [run for run in plan if run.folder in told]
        executor = ScriptedExecutor(lambda task: told[task.key])
        return execute(played, store, dataset, executor)
    finally:
        store.unlock()


def started(steps: int = 12, *, backbone: str = "same", step: int = 0) -> events.Started:
    return events.Started(step, steps, 1234, backbone)


def evaluated(step: int, accuracy: float, loss: float = 1.0) -> events.Evaluated:
    train_loss = loss if step else None
    return events.Evaluated(step, step / 4, step * 32, train_loss, loss, accuracy, step / 1000)


def probed(step: int, **quantities: list[float]) -> events.Probed:
    known = {
        "activation_gradient": [0.1, 0.2, 0.4],
        "weight_gradient": [1.0, 1.0, 1.0],
        "activation_in_mean": [0.0] * LAYERS,
        "activation_in_std": [1.0] * LAYERS,
        **{f"activation_in_q{q:02}": [(q - 50) / 30] * LAYERS for q in (5, 25, 50, 75, 95)},
        "activation_out_mean": [0.5] * LAYERS,
        "activation_out_std": [0.6] * LAYERS,
        "dead_units": [0.0, 0.25, 0.5],
        "update_ratio": [1e-3] * LAYERS,
    }
    return events.Probed(step, known | quantities)


def finishes(
    curve: Mapping[int, float],
    *,
    test: float = 0.5,
    train: float = math.nan,
    precise: float = math.nan,
    batches: str = "batches",
    backbone: str = "same",
    probes: Iterable[events.Probed] = (),
) -> list[Event]:
    """A run that uses its budget. curve: step -> validation accuracy; its last step is the end.

    train, precise: NaN as in the journals of an older normbench.
    """
    end = max(curve)
    return [
        started(end, backbone=backbone),
        events.EpochStarted(0, 0, batches),
        *probes,
        *(
            replace(evaluated(step, accuracy), train_accuracy=train)
            for step, accuracy in curve.items()
        ),
        events.Checkpointed(end, b"weights"),
        events.Tested(end, 1.0, test, precise),
        events.Finished(end, end / 1000, 0.1, 0.2),
    ]


def diverges(at: int, end: int, *, steps: int = 12) -> list[Event]:
    """A run whose loss of update ``at`` is not finite, noticed after ``end`` updates."""
    return [
        started(steps),
        events.EpochStarted(0, 0, "batches"),
        probed(0),
        evaluated(0, 0.1),
        events.Diverged(at),
        events.Finished(end, end / 1000, 0.1, 0.2),
    ]


def fails(reason: str = "it broke") -> list[Event]:
    """A run that crashes after its first evaluation."""
    return [started(), evaluated(0, 0.1), events.Failed(reason, "Traceback ...")]


def stops(step: int) -> list[Event]:
    """A run that is interrupted after ``step`` updates."""
    return [
        started(),
        events.EpochStarted(0, 0, "batches"),
        evaluated(0, 0.1),
        events.Checkpointed(step, b"weights"),
        events.Stopped(step),
    ]


def reseal(folder: Path) -> None:
    """Make what stands in a run's folder what was written, after a test has changed it."""
    from normbench.store.seal import DONE, seal_text

    (folder / DONE).write_bytes(seal_text(folder))


def put_hostile_checkpoint(path: Path) -> None:
    """A sound archive whose pickle would run code, as an earlier normbench kept no sum of."""
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"cos\ngetcwd\n(tR.")
        archive.writestr("archive/version", b"3\n")


def unseal(folder: Path) -> None:
    """Make a run look like one of an earlier normbench, which kept no sums."""
    import json

    found = {k: v for k, v in manifest(folder).items() if k not in ("sealed", "checkpoints")}
    (folder / "manifest.json").write_text(json.dumps(found))
    (folder / "DONE").write_text("")


def change_plan(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change what is asked for in an experiment's record, as if it had been written so."""
    import json

    from normbench.store.files import with_sum

    plan = json.loads((folder / "experiment.json").read_text())
    del plan["seal"]
    change(plan)
    for name in ("experiment.json", "experiment.copy.json"):
        (folder / name).write_bytes(with_sum(json.dumps(plan)))


def manifest(folder: Path) -> dict[str, Any]:
    import json

    return json.loads((folder / "manifest.json").read_text())
