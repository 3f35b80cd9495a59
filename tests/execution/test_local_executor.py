"""Runs in processes of their own: the same bytes however many at a time, and nobody's crash but
one's own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted import manifest
from tiny import EVERYTHING, experiment, journals, only, run_config, same, state, trained

import normbench
from normbench.execution import LocalExecutor, NullObserver, Outcome, execute, processes
from normbench.plan import PlannedRun, expand
from normbench.results.experiment import ExperimentResult
from normbench.store import ExperimentStore
from normbench.training import events

CHANGES = ("norms=[none, batch, layer]", *EVERYTHING)
LONG = "training={steps: 400, evaluate_every: 20}"


class On(NullObserver):
    """Calls ``act`` with every event."""

    def __init__(self, act: Callable[[PlannedRun, events.Event], None]):
        self.act = act

    def on_event(self, run: PlannedRun, event: events.Event) -> None:
        self.act(run, event)


def train(root: Path, *overrides: str, **options) -> ExperimentResult:
    return normbench.train(experiment(*overrides), results=root, **options)


def carry_out(root: Path, digits, plan: list[PlannedRun], jobs: int, **options) -> Outcome:
    executor = LocalExecutor(jobs)
    try:
        return execute(plan, ExperimentStore(root, "tiny"), digits, executor, **options)
    finally:
        executor.close()


@pytest.fixture(scope="module")
def one_at_a_time(tmp_path_factory, digits) -> Path:
    root = tmp_path_factory.mktemp("jobs1")
    train(root, *CHANGES, jobs=1)
    return root


@pytest.fixture(scope="module")
def long(tmp_path_factory, digits) -> Path:
    """Runs that take a moment, undisturbed."""
    root = tmp_path_factory.mktemp("long")
    train(root, LONG, jobs=1)
    return root


@pytest.fixture
def no_children_left() -> Iterator[None]:
    yield
    assert not multiprocessing.active_children()


def test_two_at_a_time_give_the_same_bytes_as_one(tmp_path, one_at_a_time, no_children_left):
    counts: list[int] = []
    watch = On(lambda *_: counts.append(len(multiprocessing.active_children())))
    result = train(tmp_path, *CHANGES, jobs=2, watch=watch)
    assert result.outcome == Outcome(finished=6)
    assert max(counts) == 2
    found = journals(tmp_path / "tiny")
    assert len(found) == 2 * 6
    assert found == journals(one_at_a_time / "tiny")


def test_a_worker_trains_what_this_process_would(digits, one_at_a_time):
    (path,) = (one_at_a_time / "tiny").glob("batch-s1-*")
    found = trained(run_config(*CHANGES[1:], norm="batch", seed=1), digits)
    stored = [events.Checkpointed(12, (path / "checkpoint.pt").read_bytes())]
    for part in ("network", "batches_sha256"):
        assert same(state(stored)[part], state(found)[part])
    assert manifest(path)["backbone_sha256"] == found[0].backbone_sha256
    assert manifest(path)["batch_order_sha256"] == state(found)["batches_sha256"]
    assert manifest(path)["epochs_started"] == len(only(found, events.EpochStarted))


def test_a_run_that_raises_fails_with_its_reason_and_the_others_go_on(
    tmp_path, digits, no_children_left
):
    # There is no hundredth GPU, so one run cannot even begin; another cannot be continued.
    (gpu,) = expand(experiment("runtime.device='cuda:99'", "norms=[batch]", "seeds=1"))
    first, damaged, *rest = expand(experiment())
    folder = tmp_path / "tiny" / damaged.folder
    folder.mkdir(parents=True)
    (folder / "checkpoint.pt").write_bytes(b"no checkpoint at all")
    outcome = carry_out(tmp_path, digits, [first, gpu, damaged, *rest], jobs=1)
    assert outcome.finished == 3
    assert [run for run, _ in outcome.failed] == [gpu, damaged]
    for run, reason in outcome.failed:
        assert "\n" not in reason
        assert len(reason) <= 300
        found = manifest(tmp_path / "tiny" / run.folder)
        assert (found["state"], found["reason"]) == ("failed", reason)
        assert found["details"].startswith("Traceback")


def test_a_killed_worker_fails_its_run_and_the_same_command_finishes_it(
    tmp_path, digits, long, no_children_left
):
    killed: list[int] = []

    def kill(run: PlannedRun, event: events.Event) -> None:
        if not killed and isinstance(event, events.Evaluated) and event.step:
            victim = multiprocessing.active_children()[0].pid
            assert victim is not None
            killed.append(victim)
            os.kill(victim, signal.SIGKILL)

    outcome = carry_out(tmp_path, digits, expand(experiment(LONG)), 2, watch=On(kill))
    ((run, reason),) = outcome.failed
    assert "ended by SIGKILL" in reason
    assert outcome.finished == 3
    assert manifest(tmp_path / "tiny" / run.folder)["state"] == "failed"
    assert not (tmp_path / "tiny" / run.folder / "DONE").exists()
    again = train(tmp_path, LONG, jobs=1).outcome
    assert again is not None
    assert (again.skipped, again.finished, again.failed) == (3, 1, [])
    assert journals(tmp_path / "tiny") == journals(long / "tiny")


def test_stopped_runs_leave_a_checkpoint_and_continue_to_the_same_bytes(
    tmp_path, digits, long, no_children_left
):
    seen: list[events.Event] = []

    def stop() -> bool:
        return any(isinstance(event, events.Evaluated) and event.step >= 100 for event in seen)

    outcome = carry_out(
        tmp_path,
        digits,
        expand(experiment(LONG)),
        2,
        watch=On(lambda run, event: seen.append(event)),
        should_stop=stop,
    )
    assert outcome.stopped
    assert outcome.finished == 0
    stopped = [path for path in (tmp_path / "tiny").iterdir() if path.is_dir()]
    assert len(stopped) == 2
    for path in stopped:
        assert manifest(path)["state"] == "interrupted"
        assert manifest(path)["checkpoint_step"] < 400
        assert (path / "checkpoint.pt").exists()
    assert any(manifest(path)["checkpoint_step"] >= 100 for path in stopped)
    assert train(tmp_path, LONG, jobs=1).outcome == Outcome(finished=4)
    assert journals(tmp_path / "tiny") == journals(long / "tiny")


def test_closing_ends_workers_whatever_they_are_doing(tmp_path, digits):
    executor = LocalExecutor(2)
    plan = expand(experiment(LONG))

    def close(run: PlannedRun, event: events.Event) -> None:
        if isinstance(event, events.Evaluated):
            raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        execute(plan, ExperimentStore(tmp_path, "tiny"), digits, executor, watch=On(close))
    assert multiprocessing.active_children()
    executor.close()
    assert not multiprocessing.active_children()
    assert time.monotonic() - start < 15


@pytest.mark.parametrize(
    ("libc", "tuned"),
    [(("glibc", "2.36"), True), (("glibc", "2.31"), False), (("", ""), False)],
)
def test_only_an_allocator_that_knows_them_gets_tunables(monkeypatch, libc, tuned):
    monkeypatch.setattr("platform.libc_ver", lambda: libc)
    assert ("GLIBC_TUNABLES" in processes.allocator()) is tuned
