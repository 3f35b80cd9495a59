"""Drives a plan through an executor: the one place that writes results.

Finished runs are skipped, unfinished ones continued from their last checkpoint, failures kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from itertools import zip_longest
from typing import Protocol

from normbench.data import Dataset
from normbench.environment import environment
from normbench.errors import StoreError
from normbench.execution import components
from normbench.execution.executor import Executor, Task
from normbench.execution.ground import changes, code_of
from normbench.plan import Outcome, PlannedRun
from normbench.store import ExperimentStore, RunStore
from normbench.training import events
from normbench.training.budget import total_steps


class Observer(Protocol):
    """Someone who looks on."""

    def planned(self, runs: Sequence[PlannedRun], steps: Sequence[int], skipped: int) -> None:
        """These runs will be trained, each for so many steps; ``skipped`` were done before."""

    def on_event(self, run: PlannedRun, event: events.Event) -> None:
        """An event, after it is written."""

    def on_idle(self) -> None:
        """Nothing happened for a moment."""

    def looked(self, findings: Sequence[str]) -> None:
        """A look at the results decided who gets more seeds; one sentence a sweep point."""
        return

    def note(self, text: str) -> None:
        """A sentence that the user should see, such as of a file that was damaged."""
        return


class NullObserver:
    """An ``Observer`` that does not look."""

    def planned(self, runs: Sequence[PlannedRun], steps: Sequence[int], skipped: int) -> None:
        """See ``Observer``."""

    def on_event(self, run: PlannedRun, event: events.Event) -> None:
        """See ``Observer``."""

    def on_idle(self) -> None:
        """See ``Observer``."""

    def looked(self, findings: Sequence[str]) -> None:
        """See ``Observer``."""

    def note(self, text: str) -> None:
        """See ``Observer``."""


def execute(
    plan: Sequence[PlannedRun],
    store: ExperimentStore,
    dataset: Dataset,
    executor: Executor,
    *,
    watch: Observer | None = None,
    should_stop: Callable[[], bool] = lambda: False,
    accept_changes: bool = False,
) -> Outcome:
    """Train every run of ``plan`` that is not done, and write what happens into ``store``.

    watch: looks on. should_stop: when it says so, running runs checkpoint and stop, and no other
    starts. accept_changes: continue runs also on other ground than they began on, see ``ground``.
    Raises StoreError when results cannot be written, or were made from other data or begun on other
    ground.
    """
    watch = watch or NullObserver()
    outcome = Outcome()
    runs = {run.folder: run for run in plan}  # a run planned in two roles is trained once
    pending = _pending(runs, store, dataset, outcome, watch)
    if not accept_changes:
        _check_ground([runs[folder] for folder in pending], store, executor)
    steps = [
        total_steps(config, dataset.examples(config.data.validation))
        for config in (runs[folder].config for folder in pending)
    ]
    watch.planned([runs[folder] for folder in pending], steps, outcome.skipped)
    writers: dict[str, _Writer] = {}
    packed = components.pack()

    def tasks() -> Iterator[Task]:
        for folders in _stacks([runs[folder] for folder in pending]):
            first, *others = (
                Task(
                    folder,
                    runs[folder].config.resolved(),
                    str(dataset.path),
                    _resume(folder, store, watch),
                )
                for folder in folders
            )
            for folder in folders:
                writers[folder] = _Writer(runs[folder], store.run(folder), dataset)
            yield replace(first, stacked_with=tuple(others), components=packed)

    stopping = False
    for item in executor.run(tasks()):
        if not stopping and should_stop():
            stopping = outcome.stopped = True
            executor.stop()
        if item is None:
            watch.on_idle()
            continue
        folder, event = item
        state = writers[folder].write(event)
        if state is not None:
            del writers[folder]
            if isinstance(event, events.Failed):
                outcome.failed.append((runs[folder], event.reason))
            elif state in ("finished", "diverged"):
                setattr(outcome, state, getattr(outcome, state) + 1)
        watch.on_event(runs[folder], event)
    return outcome


def _pending(
    runs: dict[str, PlannedRun],
    store: ExperimentStore,
    dataset: Dataset,
    outcome: Outcome,
    watch: Observer,
) -> list[str]:
    pending = []
    for folder in runs:
        run = store.run(folder)
        manifest = run.known_manifest()
        if manifest and manifest["data"]["fingerprint"] != dataset.fingerprint:
            raise StoreError(
                f"{run.path} was trained on other data: the files of dataset {dataset.name!r} "
                "have changed since\n    start over with --fresh, or keep both under another "
                "name with --set name=..."
            )
        damage = run.fault() if run.ended else None
        if damage is not None:
            watch.note(f"{damage.path} is damaged ({damage.reason}): its run is trained again")
        if run.ended and damage is None:
            outcome.skipped += 1
        else:
            pending.append(folder)
    return pending


def _check_ground(
    pending: Sequence[PlannedRun], store: ExperimentStore, executor: Executor
) -> None:
    """Raise StoreError when a run would continue on other ground than it began on."""
    if getattr(executor, "elsewhere", False):  # each node says what it is when it starts
        return
    here = environment()
    for run in pending:
        runtime = run.config.runtime
        now = {
            "environment": here,
            "device": runtime.device,
            "threads": runtime.threads,
            "code": code_of(run.config),
        }
        writer = store.run(run.folder)
        changed = changes(writer.known_manifest(), now) if writer.has_checkpoint else []
        if changed:
            raise StoreError(
                f"{writer.path} began on other ground ({'; '.join(changed)}): continued, its "
                "numbers would be those of neither\n    start over with --fresh, go back to what "
                "it began with, or continue with --accept-changes, which the tables then tell"
            )


def _resume(folder: str, store: ExperimentStore, watch: Observer) -> bytes | None:
    """The state that a run continues from; None from the start, what was damaged set aside."""
    run = store.run(folder)
    state, faults = run.good_checkpoint()
    if state is not None and faults:
        watch.note(f"{faults[0]}: {folder} continues from the checkpoint before it")
    if state is None and (faults or run.ended):
        aside = store.set_aside(folder)
        told = f"{faults[0]}: " if faults and not run.ended else ""  # else it was told
        watch.note(f"{told}{folder} starts again from step 0; what there was is in {aside}")
    return state


def _stacks(pending: Sequence[PlannedRun]) -> Iterator[list[str]]:
    """Folders to train in step with each other: seeds of one norm, each in a lane of its own."""
    kinds: dict[tuple[str, str], dict[int, list[str]]] = {}
    for run in pending:
        kind = (run.config.context(), run.config.method_sha256())
        kinds.setdefault(kind, {}).setdefault(run.config.lane, []).append(run.folder)
    stacks = [
        [folder for folder in stack if folder is not None]
        for lanes in kinds.values()
        for stack in zip_longest(*lanes.values())
    ]
    indices = {run.folder: index for index, run in enumerate(pending)}
    yield from sorted(stacks, key=lambda folders: min(map(indices.__getitem__, folders)))


class _Writer:
    """Writes one run's events into its folder."""

    def __init__(self, run: PlannedRun, store: RunStore, dataset: Dataset):
        self.run, self.store, self.dataset = run, store, dataset
        self.diverged_at: int | None = None
        self.started = time.monotonic()

    def write(self, event: events.Event) -> str | None:
        """Record ``event``; the run's final state, if this was its last."""
        match event:
            case events.Started():
                self._open(event)
            case events.EpochStarted():
                self._line("metrics", "epoch", event)
                self.store.manifest["batch_order_sha256"] = event.batches_sha256
                self.store.manifest["epochs_started"] = event.epoch + 1
            case events.Evaluated():
                self._line("metrics", "eval", event)
            case events.Tested():
                self._line("metrics", "test", event)
            case events.Probed():
                line = {"event": "probe", "step": event.step, **event.quantities}
                self.store.append("probes", line)
            case events.Checkpointed():
                self.store.write_checkpoint(event.state, event.step)
            case events.Diverged():
                self._line("metrics", "diverged", event)
                self.diverged_at = event.step
            case events.Stopped():
                return self._close("interrupted", steps_done=event.step)
            case events.Failed():
                if not self.store.manifest:
                    self._open(None)
                return self._close("failed", reason=event.reason, details=event.details)
            case events.Finished():
                clock = {k: v for k, v in asdict(event).items() if k.endswith("_seconds")}
                state = "finished" if self.diverged_at is None else "diverged"
                return self._close(
                    state, steps_done=event.step, diverged_at=self.diverged_at, **clock
                )
        return None

    def _open(self, event: events.Started | None) -> None:
        """Start the record, also a second time: where a node died, its run starts again."""
        self.diverged_at = None
        config = self.run.config
        manifest = {
            "id": self.run.stored_identity,
            "context": config.context(),
            "norm": self.run.norm,
            "method": config.method_sha256(),
            "seed": self.run.seed,
            "role": self.run.role,
            "point": {**self.run.sweep_point, **(self.run.tuned or {})},
            "batch_size": config.data.batch_size,
            "data": {"dataset": self.dataset.name, "fingerprint": self.dataset.fingerprint},
            "num_classes": self.dataset.num_classes,
            "validation_images": self.dataset.held_out(config.data.validation),
            "device": config.runtime.device,
            "threads": config.runtime.threads,
            "environment": (event and event.environment) or environment(),
            **({"code": code} if (code := code_of(config)) else {}),
        }
        step = None
        if self.store.has_checkpoint:  # the run continues, or failed to
            before = self.store.known_manifest()
            told = list(before.get("changes", []))
            if event is None:  # it was not trained here
                manifest["environment"] = before.get("environment", manifest["environment"])
            else:
                told += [f"{text} from step {event.step}" for text in changes(before, manifest)]
            if told:
                manifest["changes"] = told
            step = event.step if event else before.get("checkpoint_step")
            manifest |= self.store.batches_before(step)
        manifest["checkpoint_step"] = step
        if event is not None:
            manifest |= {
                "steps": event.steps,
                "parameters": event.parameters,
                "backbone_sha256": event.backbone_sha256,
                "conditions": event.theory_inputs,
            }
            if event.swaps is not None:
                manifest["swaps"] = event.swaps
            if event.own_terms:
                manifest["own_terms"] = list(event.own_terms)
        self.store.open(config.resolved(), manifest, step)

    def _line(self, journal: str, kind: str, event: events.Event) -> None:
        self.store.append(journal, {"event": kind, **asdict(event)})

    def _close(self, state: str, **fields: object) -> str:
        wall_seconds = time.monotonic() - self.started
        done = state in ("finished", "diverged")
        self.store.close(state, done=done, wall_seconds=wall_seconds, **fields)
        return state
