"""The driver writes what an executor tells, and knows what is left to do."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from scripted import (
    ScriptedExecutor,
    diverges,
    evaluated,
    fails,
    finishes,
    manifest,
    play,
    probed,
    started,
    stops,
)
from tiny import experiment, journal, journals, trained

from normbench.config import RunConfig
from normbench.errors import StoreError
from normbench.execution import NullObserver, Outcome, Task, execute
from normbench.plan import PlannedRun, expand
from normbench.store import ExperimentStore, RunStore
from normbench.training import events
from normbench.training import loop as training

CURVE = {0: 0.1, 5: 0.4, 12: 0.7}


def run_folders(root: Path) -> list[Path]:
    return sorted(path for path in (root / "tiny").iterdir() if path.is_dir())


class Recorder(NullObserver):
    """Remembers what it was shown; ``on`` may interfere."""

    def __init__(self, on=lambda run, event: None):
        self.seen: list[tuple[str, events.Event]] = []
        self.plans: list[tuple[list[str], int]] = []
        self.on = on

    def planned(self, runs, *rest) -> None:
        self.plans.append(([run.folder for run in runs], rest[-1]))

    def on_event(self, run: PlannedRun, event: events.Event) -> None:
        self.seen.append((run.folder, event))
        self.on(run, event)


def drive(
    root: Path, digits, script, *overrides: str, **options
) -> tuple[Outcome, ScriptedExecutor]:
    """Carry out the tiny experiment with a scripted executor; the script gets tasks."""
    wanted = experiment(*overrides)
    executor = ScriptedExecutor(script)
    store = ExperimentStore(root, wanted.name)
    outcome = execute(expand(wanted), store, digits, executor, **options)
    return outcome, executor


# --- what is left to do ---


def test_runs_that_ended_are_skipped_and_others_tried_again(tmp_path, digits):
    def first(run: PlannedRun):
        return {
            ("none", 0): finishes(CURVE),
            ("batch", 0): diverges(3, 5),
            ("none", 1): fails(),
            ("batch", 1): stops(4),
        }[run.norm, run.seed]

    outcome = play(tmp_path, experiment(), digits, first)
    assert (outcome.skipped, outcome.finished, outcome.diverged) == (0, 1, 1)
    assert [(run.norm, run.seed, why) for run, why in outcome.failed] == [("none", 1, "it broke")]
    watch = Recorder()
    outcome, executor = drive(tmp_path, digits, lambda _: finishes(CURVE), watch=watch)
    assert [task.key.split("-")[:2] for task in executor.tasks] == [["none", "s1"], ["batch", "s1"]]
    assert (outcome.skipped, outcome.finished, outcome.failed) == (2, 2, [])
    assert watch.plans == [([task.key for task in executor.tasks], 2)]


def test_when_all_is_done_the_engine_gets_nothing(tmp_path, digits):
    drive(tmp_path, digits, lambda _: finishes(CURVE))
    before = journals(tmp_path / "tiny")
    outcome, executor = drive(tmp_path, digits, lambda _: pytest.fail("trained again"))
    assert outcome.skipped == 4
    assert executor.tasks == []
    assert journals(tmp_path / "tiny") == before


def test_a_task_carries_the_whole_config_the_data_and_the_checkpoint(tmp_path, digits):
    play(tmp_path, experiment("seeds=1"), digits, lambda _: stops(4))
    _, executor = drive(tmp_path, digits, lambda _: finishes(CURVE), "seeds=1")
    plan = expand(experiment("seeds=1"))
    for task, run in zip(executor.tasks, plan, strict=True):
        assert RunConfig.model_validate(task.config) == run.config
        assert (task.dataset, task.resume) == (str(digits.path), b"weights")


def test_a_run_planned_in_two_roles_is_trained_once(tmp_path, digits):
    (run,) = expand(experiment("norms=[none]", "seeds=1"))
    again = dataclasses.replace(run, role="pilot")
    executor = ScriptedExecutor(lambda _: finishes(CURVE))
    outcome = execute([run, again], ExperimentStore(tmp_path, "tiny"), digits, executor)
    assert (len(executor.tasks), outcome.finished) == (1, 1)


def test_a_run_in_the_folder_of_an_earlier_version_goes_on_and_is_read_again(tmp_path, digits):
    (run,) = expand(experiment("norms=[none]", "seeds=1", "training.eval_batch_size=77"))
    earlier = run.folder.rpartition("-")[0] + f"-{run.config.earlier_identity()[:8]}"
    assert earlier != run.folder
    kept = dataclasses.replace(run, stored=earlier)
    store = ExperimentStore(tmp_path, "tiny")
    for script in (stops(4), finishes(CURVE)):
        executor = ScriptedExecutor(lambda _, script=script: script)
        outcome = execute([kept], store, digits, executor)
    assert executor.tasks[0].resume == b"weights"
    assert outcome.finished == 1
    assert store.run(earlier).read_manifest()["state"] == "finished"


def test_results_of_other_data_are_refused_before_anything_is_trained(tmp_path, digits):
    drive(tmp_path, digits, lambda _: finishes(CURVE), "seeds=1")
    changed = dataclasses.replace(digits, fingerprint="0" * 64)
    with pytest.raises(StoreError) as caught:
        drive(tmp_path, changed, lambda _: pytest.fail("trained"), "seeds=1")
    text = str(caught.value)
    assert "trained on other data" in text
    assert "--fresh" in text
    assert "--set name=" in text
    ExperimentStore(tmp_path, "tiny").clear()
    outcome, _ = drive(tmp_path, changed, lambda _: finishes(CURVE), "seeds=1")
    assert outcome.finished == 2


# --- what is written ---


def test_a_finished_run_is_written_in_full(tmp_path, digits):
    curve = finishes(CURVE, probes=[probed(0), probed(11)])
    drive(tmp_path, digits, lambda _: curve, "norms=[batch]", "seeds=[3]")
    (folder,) = run_folders(tmp_path)
    assert {path.name for path in folder.iterdir()} == {
        "config.yaml",
        "manifest.json",
        "metrics.jsonl",
        "probes.jsonl",
        "checkpoint.pt",
        "DONE",
    }
    assert [line["event"] for line in journal(folder / "metrics.jsonl")] == [
        "epoch",
        "eval",
        "eval",
        "eval",
        "test",
    ]
    assert [line["step"] for line in journal(folder / "probes.jsonl")] == [0, 11]
    found = manifest(folder)
    (run,) = expand(experiment("norms=[batch]", "seeds=[3]"))
    expected = {
        "schema": 1,
        "state": "finished",
        "id": run.identity,
        "context": run.config.context(),
        "norm": "batch",
        "seed": 3,
        "point": {},
        "data": {"dataset": "digits", "fingerprint": digits.fingerprint},
        "device": "cpu",
        "threads": 1,
        "steps": 12,
        "steps_done": 12,
        "diverged_at": None,
        "backbone_sha256": "same",
        "batch_order_sha256": "batches",
        "train_seconds": 0.012,
    }
    assert {key: found[key] for key in expected} == expected
    assert found["environment"]["packages"]["torch"]


def test_a_manifest_names_no_person_and_no_machine(tmp_path, digits):
    import getpass
    import platform

    drive(tmp_path, digits, lambda _: finishes(CURVE), "seeds=1")
    text = (run_folders(tmp_path)[0] / "manifest.json").read_text()
    assert platform.node() not in text
    assert str(Path.home()) not in text
    assert f'"{getpass.getuser()}"' not in text


def test_a_failed_run_keeps_reason_and_details(tmp_path, digits):
    drive(tmp_path, digits, lambda _: fails("ValueError: no"), "norms=[batch]", "seeds=1")
    (folder,) = run_folders(tmp_path)
    found = manifest(folder)
    assert (found["state"], found["reason"]) == ("failed", "ValueError: no")
    assert found["details"] == "Traceback ..."
    assert not (folder / "DONE").exists()


def test_a_run_that_fails_before_it_starts_is_written_too(tmp_path, digits):
    only = [events.Failed("no memory")]
    outcome, _ = drive(tmp_path, digits, lambda _: only, "norms=[batch]", "seeds=1")
    (folder,) = run_folders(tmp_path)
    assert manifest(folder)["state"] == "failed"
    assert manifest(folder)["reason"] == "no memory"
    assert [why for _, why in outcome.failed] == ["no memory"]


def test_a_run_that_fails_when_it_should_continue_keeps_its_checkpoint(tmp_path, digits):
    overrides = ("norms=[batch]", "seeds=1")
    play(tmp_path, experiment(*overrides), digits, lambda _: stops(4))
    (folder,) = run_folders(tmp_path)
    before = (folder / "metrics.jsonl").read_text()
    drive(tmp_path, digits, lambda _: [events.Failed("no memory")], *overrides)
    assert (folder / "checkpoint.pt").read_bytes() == b"weights"
    assert (folder / "metrics.jsonl").read_text() == before
    _, executor = drive(tmp_path, digits, lambda _: finishes(CURVE), *overrides)
    assert executor.tasks[0].resume == b"weights"
    assert "reason" not in manifest(folder)


def test_a_failure_takes_no_other_run_with_it(tmp_path, digits):
    def script(task: Task) -> Iterable[events.Event]:
        return fails() if task.key.startswith("none-s0") else finishes(CURVE)

    outcome, _ = drive(tmp_path, digits, script)
    assert (outcome.finished, len(outcome.failed)) == (3, 1)


def test_a_watch_sees_an_event_once_it_is_on_disk(tmp_path, digits):
    def on(run: PlannedRun, event: events.Event) -> None:
        path = tmp_path / "tiny" / run.folder / "metrics.jsonl"
        if isinstance(event, events.Evaluated):
            assert journal(path)[-1]["step"] == event.step

    watch = Recorder(on)
    drive(tmp_path, digits, lambda _: finishes(CURVE), watch=watch)
    assert len(watch.seen) == 4 * len(finishes(CURVE))


def test_asked_to_stop_the_driver_asks_the_engine_once(tmp_path, digits):
    seen: list[events.Event] = []
    watch = Recorder(lambda run, event: seen.append(event))
    outcome, executor = drive(
        tmp_path, digits, lambda _: stops(4), watch=watch, should_stop=lambda: len(seen) > 1
    )
    assert outcome.stopped
    assert executor.stopped
    assert len(executor.tasks) == 1
    (folder,) = run_folders(tmp_path)
    assert manifest(folder)["state"] == "interrupted"
    assert manifest(folder)["checkpoint_step"] == 4


def test_outcomes_add_up():
    a = Outcome(skipped=1, finished=2, stopped=True)
    b = Outcome(skipped=2, diverged=1, signal=15)
    assert a + b == Outcome(3, 2, 1, [], True, 15)


# --- crashes, with real training in this process ---


class Crash(BaseException):
    """Nobody catches this, as nobody catches kill -9; files stay as they were at that moment."""


def in_process(task: Task, digits) -> Iterable[events.Event]:
    yield from training.train(RunConfig.model_validate(task.config), digits, resume=task.resume)


REAL = ("norms=[batch]", "seeds=1", "data.batch_size=330", "data.augment={crop: 1}")
REAL += ("probes={every: 2}",)
BUDGET = "training={steps: 9, evaluate_every: 2}"  # epochs of four
KINDS = ["Started", "EpochStarted", "Probed", "Evaluated", "Checkpointed"]

Result = tuple[dict[str, list[str]], dict]


def train_for_real(
    root: Path, digits, budget: str = BUDGET, watch: NullObserver | None = None
) -> None:
    drive(root, digits, lambda task: in_process(task, digits), *REAL, budget, watch=watch)


def result(root: Path) -> Result:
    (folder,) = run_folders(root)
    assert (folder / "DONE").exists()
    known = ("batch_order_sha256", "epochs_started", "backbone_sha256", "steps_done", "state")
    return journals(root / "tiny"), {key: manifest(folder)[key] for key in known}


@pytest.fixture(scope="module", params=[-1.0, 1e9], ids=["checkpoints", "no-checkpoints"])
def undisturbed(request, tmp_path_factory, digits) -> Iterator[tuple[Result, list[str]]]:
    """A run with a checkpoint at every evaluation, or at the end alone, and its events."""
    root, watch = tmp_path_factory.mktemp("undisturbed"), Recorder()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "CHECKPOINT_SECONDS", request.param)
        patch.setattr(training, "PROGRESS_SECONDS", 1e9)
        train_for_real(root, digits, watch=watch)
        yield result(root), [type(event).__name__ for _, event in watch.seen]


def crash_after(root: Path, digits, place: int, budget: str = BUDGET) -> None:
    """Train, and crash once ``place`` events are on disk."""
    count = 0

    def on(run: PlannedRun, event: events.Event) -> None:
        nonlocal count
        count += 1
        if count == place:
            raise Crash

    with pytest.raises(Crash):
        train_for_real(root, digits, budget, Recorder(on))


@pytest.mark.parametrize(
    "kind",
    [
        *KINDS,
        pytest.param(
            "Tested",
        ),
    ],
)
def test_after_a_crash_the_same_command_ends_in_the_same_bytes(tmp_path, digits, undisturbed, kind):
    expected, told = undisturbed
    places = [place for place, name in enumerate(told, start=1) if name == kind]
    assert places
    for place in places:
        root = tmp_path / str(place)
        crash_after(root, digits, place)
        train_for_real(root, digits)
        assert result(root) == expected


def test_after_two_crashes_as_well(tmp_path, digits, undisturbed):
    crash_after(tmp_path, digits, 12)
    crash_after(tmp_path, digits, 6)
    train_for_real(tmp_path, digits)
    assert result(tmp_path) == undisturbed[0]


def test_a_crash_after_a_divergence_leaves_one_line_of_it(tmp_path, digits):
    overrides = ("norms=[none]", "seeds=1")
    told = [*stops(4)[:-1], events.Diverged(4)]
    play(tmp_path, experiment(*overrides), digits, lambda _: told)
    again = [started(step=4), events.Diverged(4), events.Finished(5, 0, 0, 0)]
    drive(tmp_path, digits, lambda _: again, *overrides)
    (folder,) = run_folders(tmp_path)
    assert [line["event"] for line in journal(folder / "metrics.jsonl")].count("diverged") == 1


def crash_before_manifest(patch: pytest.MonkeyPatch, missed: int) -> None:
    """Crash once ``missed`` checkpoints are on disk, before the manifest tells of the last."""
    update, count = RunStore.update, 0

    def crash(self: RunStore, **fields: object) -> None:
        nonlocal count
        count += "checkpoint_step" in fields
        if count == missed:
            raise Crash
        update(self, **fields)

    patch.setattr(RunStore, "update", crash)


@pytest.mark.parametrize(("steps", "missed"), [(9, 1), (9, 3), (7, 3)])
def test_a_crash_between_a_checkpoint_and_its_manifest_loses_nothing(
    tmp_path, digits, monkeypatch, steps, missed
):
    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)
    budget = f"training={{steps: {steps}, evaluate_every: 2}}"
    train_for_real(tmp_path / "whole", digits, budget)
    with monkeypatch.context() as patch:
        crash_before_manifest(patch, missed)
        with pytest.raises(Crash):
            train_for_real(tmp_path / "cut", digits, budget)
    train_for_real(tmp_path / "cut", digits, budget)
    assert result(tmp_path / "cut") == result(tmp_path / "whole")


def test_the_scripted_runs_of_these_tests_look_like_real_ones(digits):
    from tiny import run_config

    real = [type(event) for event in trained(run_config("probes={steps: none}"), digits)]
    told = [type(event) for event in finishes({0: 0.1, 5: 0.1, 10: 0.1, 12: 0.1})]
    assert sorted(t.__name__ for t in real) == sorted(t.__name__ for t in told)
    assert isinstance(started(), events.Started)
    assert evaluated(0, 0.5).train_loss is None
