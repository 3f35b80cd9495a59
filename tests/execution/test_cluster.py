"""A cluster gives the same bytes as this machine's processes, also when a node dies half way."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from scripted import manifest, started
from tiny import EVERYTHING, experiment, journals

import normbench
from normbench.errors import ConfigError, NormbenchError
from normbench.execution import NullObserver, Outcome, Task, execute
from normbench.plan import PlannedRun, expand
from normbench.store import ExperimentStore
from normbench.training import events
from normbench.training import loop as training

ray = pytest.importorskip("ray")

from normbench.execution import cluster  # noqa: E402 - it needs ray
from normbench.execution.cluster import RayExecutor  # noqa: E402

CHANGES = ("norms=[none, batch, layer]", "seeds=1", *EVERYTHING)
LONG = ("training={steps: 3000, evaluate_every: 250}", "seeds=1")


class On(NullObserver):
    """Calls ``act`` with every event."""

    def __init__(self, act: Callable[[PlannedRun, events.Event], None]):
        self.act = act

    def on_event(self, run: PlannedRun, event: events.Event) -> None:
        self.act(run, event)


# --- without Ray: what the executor makes of a task that dies ---


def death() -> Exception:
    """As ``ray.get`` raises it."""
    return ray.exceptions.NodeDiedError("the node is gone. See the manual.")


class Stage:
    """Stands in for Ray: plays a list of streams, one an attempt; an exception is raised."""

    def __init__(self, *streams: list[Any], nodes: list[dict[str, float]] | None = None):
        self.streams = [iter(stream) for stream in streams]
        self.nodes = nodes if nodes is not None else [{"CPU": 1.0}]
        self.tasks: list[Task] = []
        self.cancelled: list[Any] = []

    def submit(self, task: Task, resources: Any) -> Any:
        self.tasks.append(task)
        return self.streams[len(self.tasks) - 1]

    def get(self, item: Any) -> Any:
        if isinstance(item, Exception):
            raise item
        return item

    def wait(self, streams: list[Any], **_: Any) -> tuple[list[Any], list[Any]]:
        return streams, []


@pytest.fixture
def executor(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stage], RayExecutor]:
    """An executor on a stage."""

    def make(stage: Stage) -> RayExecutor:
        made = object.__new__(RayExecutor)
        made.jobs, made.notes = None, []  # type: ignore[attr-defined]
        made._note = made.notes.append  # type: ignore[attr-defined]
        made._running, made._stopping, made._counted, made._room_seen = {}, False, {}, {}
        monkeypatch.setattr(made, "_submit", stage.submit)
        monkeypatch.setattr(cluster, "_nodes", lambda: stage.nodes)
        monkeypatch.setattr(ray, "get", stage.get)
        monkeypatch.setattr(ray, "wait", stage.wait)
        monkeypatch.setattr(ray, "cancel", stage.cancelled.append)
        return made

    return make


def task(*overrides: str, resume: bytes | None = None) -> Task:
    (run,) = expand(experiment("norms=[batch]", "seeds=1", *overrides))
    return Task(run.folder, run.config.resolved(), "nowhere", resume)


def told(executor: RayExecutor, *tasks: Task) -> list[events.Event]:
    return [item[1] for item in executor.run(tasks) if item is not None]


END = events.Finished(12, 0, 0, 0)


def test_a_run_that_dies_with_its_node_starts_again_from_its_last_checkpoint(executor):
    first, second = events.Checkpointed(4, b"four"), events.Checkpointed(8, b"eight")
    stage = Stage([started(), first, second, death()], [started(step=8), END])
    made = executor(stage)
    assert told(made, task()) == [started(), first, second, started(step=8), END]
    assert [found.resume for found in stage.tasks] == [None, b"eight"]
    (note,) = made.notes
    assert "the node is gone)" in note
    assert "started again from step 8" in note


def test_a_run_that_had_a_checkpoint_before_dies_back_to_it(executor):
    stage = Stage([started(step=4), death()], [started(step=4), END])
    told(executor(stage), task(resume=b"before"))
    assert [found.resume for found in stage.tasks] == [b"before", b"before"]


def test_a_run_that_keeps_dying_at_one_place_fails(executor):
    again = [started(), death()]
    stage = Stage(*[list(again) for _ in range(9)])
    *_, last = told(executor(stage), task())
    assert isinstance(last, events.Failed)
    assert "died" in last.reason
    assert len(stage.tasks) == 1 + cluster.RETRIES


def test_deaths_with_progress_between_them_are_forgiven(executor):
    dies = [[events.Checkpointed(k, b"x"), death()] for k in range(1, 8)]
    stage = Stage(*dies, [END])
    assert told(executor(stage), task())[-1] == END


def test_a_run_that_raises_is_not_tried_again(executor):
    stage = Stage([started(), events.Failed("ValueError: no")])
    assert told(executor(stage), task())[-1] == events.Failed("ValueError: no")
    assert len(stage.tasks) == 1


def test_what_no_node_can_give_is_told_at_once(executor):
    stage = Stage(nodes=[{"CPU": 4.0}, {"CPU": 2.0, "GPU": 1.0}])
    with pytest.raises(ConfigError) as caught:
        told(executor(stage), task("runtime.cpus=3", "runtime.device=cuda"))
    assert "3 CPUs and 1 GPUs" in str(caught.value)
    assert "2 CPUs and 1 GPUs, of 4 CPUs and 0 GPUs" in str(caught.value)
    assert stage.tasks == []


def test_when_the_last_node_that_had_room_is_gone_for_good_the_run_fails(executor, monkeypatch):
    monkeypatch.setattr(cluster, "LOST_SECONDS", -1.0)
    monkeypatch.setattr(cluster, "COUNT_SECONDS", 0.0)
    stage = Stage([])
    made = executor(stage)
    monkeypatch.setattr(ray, "wait", lambda streams, **_: ([], streams))
    found = made.run([task()])
    assert next(found) is None
    stage.nodes = []
    _, event = next(found)  # type: ignore[misc]
    assert isinstance(event, events.Failed)
    assert "no node of the Ray cluster" in event.reason
    assert len(stage.cancelled) == 1


@pytest.mark.parametrize(
    ("gpus", "expected"), [(None, 2), (0.5, 4), (0.25, 8)], ids=["whole", "half", "quarter"]
)
def test_as_many_runs_fit_as_the_nodes_resources_allow(executor, gpus, expected):
    made = executor(Stage(nodes=[{"CPU": 64.0, "GPU": 2.0}, {"CPU": 8.0}]))
    wanted = () if gpus is None else (f"runtime.gpus={gpus}",)
    (run,) = expand(experiment("norms=[batch]", "seeds=1", "runtime.device=cuda", *wanted))
    assert made._room(run.config.runtime.resources) == expected


def test_a_stopped_executor_takes_back_what_has_not_begun(executor, monkeypatch):
    stage = Stage([started(), events.Stopped(3)], [started()])
    stage.nodes = [{"CPU": 2.0}]
    made = executor(stage)
    monkeypatch.setattr(ray, "wait", lambda streams, **_: (streams[:1], streams[1:]))
    one, two = (dataclasses.replace(task(), key=key) for key in ("one", "two"))
    found = made.run([one, two])
    assert next(found) == ("one", started())
    made._stopping = True
    assert list(found) == [("one", events.Stopped(3))]
    assert len(stage.cancelled) == 1


def test_a_versions_difference_is_named():
    here = {"packages": {"torch": "2.7"}, "normbench": "0.1"}
    cluster._check_versions(here, here)
    with pytest.raises(Exception, match=r"torch 2\.7 \(not 2\.8\)"):
        cluster._check_versions(here, {**here, "packages": {"torch": "2.8"}})


def test_a_package_that_is_nowhere_is_no_difference_and_one_that_is_absent_here_is():
    here = {"normbench": "1", "packages": {"torch": "2.9", "scikit-learn": None}}
    cluster._check_versions(here, here)
    driver = {"normbench": "1", "packages": {"torch": "2.9", "scikit-learn": "1.7"}}
    with pytest.raises(NormbenchError, match=r"scikit-learn missing \(not 1\.7\)"):
        cluster._check_versions(here, driver)
    with pytest.raises(NormbenchError, match=r"scikit-learn 1\.7 \(not any\)"):
        cluster._check_versions(driver, here)


def test_an_address_where_nobody_listens_is_told(unused_port: int):
    with pytest.raises(ConfigError, match="no Ray cluster at"):
        RayExecutor(None, f"127.0.0.1:{unused_port}", print)


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


# --- the driver, when a run starts a second time ---


class Replay:
    """An executor that plays one list of events for its only run."""

    def __init__(self, told: list[events.Event]):
        self.told = told

    def run(self, tasks: Any) -> Iterator[tuple[str, events.Event]]:
        (only,) = tasks
        for event in self.told:
            yield only.key, event

    def stop(self) -> None: ...

    def close(self) -> None: ...


@pytest.mark.parametrize("cut", [2, 9, 13, 16])
def test_a_run_told_again_from_its_checkpoint_is_written_once(tmp_path, digits, monkeypatch, cut):
    from tiny import trained

    monkeypatch.setattr(training, "CHECKPOINT_SECONDS", -1.0)  # at every evaluation
    plan = expand(experiment("norms=[batch]", "seeds=1", *EVERYTHING))
    whole = trained(plan[0].config, digits)
    assert cut < len(whole)
    before = [event for event in whole[:cut] if isinstance(event, events.Checkpointed)]
    again = trained(plan[0].config, digits, resume=before[-1].state if before else None)
    for name, told in (("whole", whole), ("cut", [*whole[:cut], *again])):
        outcome = execute(plan, ExperimentStore(tmp_path, name), digits, Replay(told))
        assert outcome == Outcome(finished=1)
    assert journals(tmp_path / "cut") == journals(tmp_path / "whole")


def test_the_manifest_names_the_machine_that_trained(tmp_path, digits):
    plan = expand(experiment("norms=[batch]", "seeds=1"))
    elsewhere = dataclasses.replace(started(), environment={"processor": "elsewhere"})
    execute(plan, ExperimentStore(tmp_path, "tiny"), digits, Replay([elsewhere, events.Stopped(0)]))
    assert manifest(tmp_path / "tiny" / plan[0].folder)["environment"]["processor"] == "elsewhere"


# --- with Ray ---


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Two nodes of one core each; the second has a cache of its own."""
    from ray.cluster_utils import Cluster

    own = {"NORMBENCH_CACHE_DIR": str(tmp_path_factory.mktemp("node"))}
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    made.second = made.add_node(num_cpus=1, env_vars=own)
    made.own_cache = Path(own["NORMBENCH_CACHE_DIR"])
    yield made
    made.shutdown()


@pytest.mark.slow
def test_a_cluster_gives_the_bytes_of_local_processes_also_when_a_node_dies(
    tmp_path, digits, two_nodes
):
    for root, changes in (("short", CHANGES), ("long", LONG)):
        normbench.train(experiment(*changes), results=tmp_path / "local" / root, jobs=2)
    at = {"executor": "ray", "ray_address": two_nodes.address}

    result = normbench.train(experiment(*CHANGES), results=tmp_path / "ray" / "short", **at)
    assert result.outcome == Outcome(finished=3)
    assert list(two_nodes.own_cache.glob("prepared/digits-*/meta.json"))

    notes: list[str] = []
    lost: list[object] = []

    def remove(run: PlannedRun, event: events.Event) -> None:
        if not lost and isinstance(event, events.Evaluated) and event.step >= 500:
            lost.append(two_nodes.second)
            two_nodes.remove_node(two_nodes.second, allow_graceful=False)

    result = normbench.train(
        experiment(*LONG),
        results=tmp_path / "ray" / "long",
        watch=On(remove),
        note=notes.append,
        **at,
    )
    assert result.outcome == Outcome(finished=2)
    assert "started again from step" in "".join(notes)
    for root in ("short", "long"):
        found = journals(tmp_path / "ray" / root / "tiny")
        assert found == journals(tmp_path / "local" / root / "tiny")


@pytest.mark.slow
def test_stopped_runs_of_a_ray_started_here_continue_to_the_same_bytes(tmp_path, digits):
    plan = expand(experiment(*LONG))
    seen: list[events.Event] = []
    executor = RayExecutor(None, None, print)
    try:
        outcome = execute(
            plan,
            ExperimentStore(tmp_path / "ray", "tiny"),
            digits,
            executor,
            watch=On(lambda run, event: seen.append(event)),
            should_stop=lambda: len(seen) > 3,
        )
    finally:
        executor.close()
    assert not ray.is_initialized()
    assert outcome.stopped
    assert outcome.finished == 0
    for path in (tmp_path / "ray" / "tiny").glob("*/manifest.json"):
        assert manifest(path.parent)["state"] == "interrupted"
        assert (path.parent / "checkpoint.pt").exists()
    assert normbench.train(experiment(*LONG), results=tmp_path / "ray", jobs=2).outcome
    normbench.train(experiment(*LONG), results=tmp_path / "local", jobs=2)
    assert journals(tmp_path / "ray" / "tiny") == journals(tmp_path / "local" / "tiny")
