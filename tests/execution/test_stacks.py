"""Runs that share a stack are written, interrupted and continued like runs alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from scripted import manifest
from test_driver import Crash, Recorder, crash_before_manifest
from tiny import experiment, journals

from normbench.config import ExperimentConfig
from normbench.errors import ConfigError
from normbench.execution import LocalExecutor, Outcome, Task, execute
from normbench.execution.worker import run_task
from normbench.plan import expand
from normbench.store import ExperimentStore
from normbench.training import events, loop

STACKED = ("runtime.stack=2", "seeds=3", "optimizer.lr=0.05")


class InProcess:
    """Trains here, so that a test may interfere."""

    def __init__(self, dataset):
        self.dataset = dataset
        self.groups: list[int] = []
        self._stop = False

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[str, events.Event] | None]:
        for task in tasks:
            self.groups.append(len(task.runs))
            yield from run_task(task, lambda: self.dataset, lambda: self._stop)
            if self._stop:
                return

    def stop(self) -> None:
        self._stop = True

    def close(self) -> None:
        pass


def carry_out(root: Path, digits, executor=None, *, on=lambda *_: None, **options) -> Outcome:
    wanted: ExperimentConfig = experiment(*STACKED)
    store = ExperimentStore(root, wanted.name)
    executor = executor or InProcess(digits)
    return execute(expand(wanted), store, digits, executor, watch=Recorder(on), **options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, digits):
    root = tmp_path_factory.mktemp("whole")
    carry_out(root, digits)
    return journals(root / "tiny")


def test_seeds_of_one_norm_go_together_and_the_last_may_be_alone(tmp_path, digits):
    executor = InProcess(digits)
    outcome = carry_out(tmp_path, digits, executor)
    assert executor.groups == [2, 2, 1, 1]
    assert outcome.finished == 6


def test_worker_processes_tell_the_same(tmp_path, digits, undisturbed):
    executor = LocalExecutor(2)
    try:
        outcome = carry_out(tmp_path, digits, executor)
    finally:
        executor.close()
    assert outcome.finished == 6
    assert journals(tmp_path / "tiny") == undisturbed


@pytest.mark.parametrize(
    ("checkpoints", "place"),
    [*(("every", place) for place in (1, 7, 20, 45, 60)), ("last", 12), ("last", 31)],
)
def test_after_a_crash_anywhere_the_same_command_ends_in_the_same_bytes(
    tmp_path, digits, undisturbed, monkeypatch, place, checkpoints
):
    if checkpoints == "every":
        monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(loop, "PROGRESS_SECONDS", 1e9)
    count = 0

    def crash(run, event) -> None:
        nonlocal count
        count += 1
        if count == place:
            raise Crash

    with pytest.raises(Crash):
        carry_out(tmp_path, digits, on=crash)
    carry_out(tmp_path, digits)
    assert journals(tmp_path / "tiny") == undisturbed


@pytest.mark.parametrize("missed", [2, 5])
def test_a_crash_between_a_checkpoint_and_its_manifest_loses_nothing(
    tmp_path, digits, undisturbed, monkeypatch, missed
):
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    with monkeypatch.context() as patch:
        crash_before_manifest(patch, missed)
        with pytest.raises(Crash):
            carry_out(tmp_path, digits)
    carry_out(tmp_path, digits)
    assert journals(tmp_path / "tiny") == undisturbed


def test_stopped_runs_of_a_stack_continue_together(tmp_path, digits, undisturbed):
    stop = False

    def on(run, event) -> None:
        nonlocal stop
        stop = stop or (isinstance(event, events.Evaluated) and event.step == 5)

    executor = InProcess(digits)
    outcome = carry_out(tmp_path, digits, executor, on=on, should_stop=lambda: stop)
    assert outcome.stopped
    states = [manifest(path)["state"] for path in sorted((tmp_path / "tiny").glob("none-s*"))]
    assert states[:2] == ["interrupted", "interrupted"]
    carry_out(tmp_path, digits)
    assert journals(tmp_path / "tiny") == undisturbed


def test_when_the_process_of_a_stack_dies_every_run_of_it_has_failed(tmp_path, digits):
    executor = LocalExecutor(1)

    def kill(run, event) -> None:
        for worker in executor._workers:
            if worker.going:
                worker.process.kill()

    try:
        outcome = carry_out(tmp_path, digits, executor, on=kill)
    finally:
        executor.close()
    assert len(outcome.failed) == 6
    assert all("SIGKILL" in reason for _, reason in outcome.failed)


def test_a_stack_is_for_local_processes(tmp_path):
    import normbench

    with pytest.raises(ConfigError, match="stack"):
        normbench.train(experiment(*STACKED), results=tmp_path, executor="ray")
