"""Trains runs as Ray tasks, on one machine or many.

A task streams its events back to the driver, which alone writes; so nodes share no files. A task
that dies with its node is started again from the last checkpoint the driver has seen.
"""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from normbench.config.training import RuntimeConfig
from normbench.data import Dataset, adopt, load
from normbench.environment import environment
from normbench.errors import ConfigError, NormbenchError, Problem
from normbench.execution.executor import Task
from normbench.execution.worker import run_task
from normbench.training.events import ENDS, Checkpointed, Event, Failed, Started, Stopped

STARTED_HERE = "local"  # Ray's word for a cluster of this machine that ends with us
POLL_SECONDS = 0.2
ASK_SECONDS = 0.5  # how often a run asks whether to stop
COUNT_SECONDS = 1.0  # how often the driver counts the cluster's resources
REACH_SECONDS = 5.0
INIT_SECONDS = 30.0
LOST_SECONDS = 60.0  # how long to wait for a node, where there was one before
RETRIES = 3  # deaths of one run without a new checkpoint in between

Resources = tuple[float, float]


@dataclass
class _Attempt:
    """A run on its way. task: what was submitted; its ``resume`` is the last checkpoint."""

    task: Task
    resources: Resources
    stream: Any  # of references to events
    step: int = 0  # of the last checkpoint
    deaths: int = 0  # since then
    begun: bool = False  # since it was last submitted
    opened: bool = False  # the driver has a record of it


class RayExecutor:
    """Tasks of a Ray cluster, as many at a time as its resources allow, or ``jobs``.

    address: of a running cluster, ``HOST:PORT`` or ``auto`` for the one on this machine; None: that
    of ``RAY_ADDRESS``, else one started here for as long as the executor lives. note: is told of
    nodes that die. Raises ConfigError when there is no such cluster.
    """

    def __init__(self, jobs: int | None, address: str | None, note: Callable[[str], None]):
        self.jobs, self._note = jobs, note
        self._session = _Session(address)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        coordinator = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Coordinator)
        self._coordinator: Any = coordinator.options(scheduling_strategy=here).remote()
        self._running: dict[str, _Attempt] = {}
        self._stopping = False
        self._counted: dict[Resources, tuple[float, int]] = {}  # when, and how many runs fit
        self._room_seen: dict[Resources, float] = {}  # when there was last room for one

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[str, Event] | None]:
        """See ``Executor.run``."""
        waiting = iter(tasks)
        while True:
            yield from self._withdraw() if self._stopping else self._hand_out(waiting)
            if not self._running:
                return
            streams = {attempt.stream: key for key, attempt in self._running.items()}
            ready, _ = ray.wait(list(streams), timeout=POLL_SECONDS)
            if not ready:
                yield None
                yield from self._give_up_lost()
                continue
            ready, _ = ray.wait(list(streams), num_returns=len(streams), timeout=0)
            for stream in ready:
                yield self._receive(streams[stream])

    def stop(self) -> None:
        """See ``Executor.stop``."""
        self._stopping = True
        self._coordinator.stop.remote()

    def close(self) -> None:
        """See ``Executor.close``."""
        if not self._session.close() and ray.is_initialized():
            for attempt in self._running.values():
                ray.cancel(attempt.stream, force=True)
            ray.kill(self._coordinator)
        self._running.clear()

    def _hand_out(self, waiting: Iterator[Task]) -> Iterator[tuple[str, Event]]:
        while len(self._running) < self._limit():
            task = next(waiting, None)
            if task is None:
                return
            resources = RuntimeConfig.model_validate(task.config["runtime"]).resources
            if self._room(resources) or resources in self._room_seen:
                self._running[task.key] = _Attempt(task, resources, self._submit(task, resources))
            elif self._room_seen:
                yield task.key, Failed(_no_room(resources))
            else:
                raise ConfigError([Problem("runtime", _no_room(resources))])

    def _limit(self) -> int:
        """How many runs at a time; Ray queues what does not fit at once."""
        if not self._running:
            return 1
        last = next(reversed(self._running.values()))
        return min(self.jobs or 10**9, max(1, self._room(last.resources)))

    def _room(self, resources: Resources) -> int:
        """How many such runs the whole cluster holds when nothing else is on it."""
        now = time.monotonic()
        when, count = self._counted.get(resources, (-COUNT_SECONDS, 0))
        if now - when >= COUNT_SECONDS:
            count = sum(_fits(node, resources) for node in _nodes())
            self._counted[resources] = (now, count)
            if count:
                self._room_seen[resources] = now
        return count

    def _submit(self, task: Task, resources: Resources) -> Any:
        cpus, gpus = resources
        # A process that has seen one GPU cannot be given another, so it trains one run only.
        remote = ray.remote(num_returns="streaming", max_retries=0, max_calls=1 if gpus else 0)
        function = remote(_train).options(num_cpus=cpus, num_gpus=gpus, name=task.key)
        dataset = load(Path(task.dataset))
        data = (dataset.name, dataset.fingerprint)
        return function.remote(task, data, environment(), self._coordinator)

    def _receive(self, key: str) -> tuple[str, Event] | None:
        attempt = self._running[key]
        try:
            event: Event = ray.get(next(attempt.stream))
        except RayTaskError as error:  # our function never began: it could not be unpacked there
            event = Failed(_first_sentence(error), str(error))
        except (RayError, StopIteration) as error:
            return self._died(key, attempt, error)
        attempt.begun = attempt.opened = True
        if isinstance(event, Checkpointed):
            attempt.task = replace(attempt.task, resume=event.state)
            attempt.step, attempt.deaths = event.step, 0
        if isinstance(event, ENDS):
            del self._running[key]
        return key, event

    def _died(self, key: str, attempt: _Attempt, error: Exception) -> tuple[str, Event] | None:
        """Start the run again, or let it fail."""
        attempt.deaths += 1
        reason = f"its process or node died ({_first_sentence(error)})"
        if self._stopping:  # the same command continues it
            del self._running[key]
            return (key, Stopped(attempt.step)) if attempt.opened else None
        if attempt.deaths > RETRIES:
            del self._running[key]
            return key, Failed(f"{reason}, {attempt.deaths} times without a checkpoint between")
        self._note(f"{key}: {reason}; started again from step {attempt.step}")
        attempt.stream, attempt.begun = self._submit(attempt.task, attempt.resources), False
        return None

    def _withdraw(self) -> Iterator[tuple[str, Event]]:
        """Take back what waits for room."""
        for key, attempt in list(self._running.items()):
            if not attempt.begun:
                ray.cancel(attempt.stream)
                del self._running[key]
                if attempt.opened:
                    yield key, Stopped(attempt.step)

    def _give_up_lost(self) -> Iterator[tuple[str, Event]]:
        """Fail what waits for nodes that are gone for good."""
        for key, attempt in list(self._running.items()):
            if attempt.begun or self._room(attempt.resources):
                continue
            if time.monotonic() - self._room_seen[attempt.resources] > LOST_SECONDS:
                ray.cancel(attempt.stream)
                del self._running[key]
                yield key, Failed(_no_room(attempt.resources))


# -- the cluster ------------------------------------------------------------------------------


class _Session:
    """This process's part in a cluster. Raises ConfigError where there is none."""

    def __init__(self, address: str | None):
        self._closed = threading.Event()
        self._joined = not ray.is_initialized()  # else the caller did, whose session it stays
        if not self._joined:
            return
        address = address or os.environ.get("RAY_ADDRESS") or STARTED_HERE
        if address not in (STARTED_HERE, "auto"):
            _reach(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        answer: queue.Queue[BaseException | None] = queue.Queue()
        # Ray tries for minutes. Outside the main thread it also leaves the signals alone.
        threading.Thread(target=self._join, args=(address, answer), daemon=True).start()
        try:
            error = answer.get(timeout=INIT_SECONDS)
        except queue.Empty:
            error = TimeoutError(f"no answer within {INIT_SECONDS:g} s")
        if error is not None:
            raise _unreachable(f"no Ray cluster at {address!r}: {_first_sentence(error)}")

    def _join(self, address: str, answer: queue.Queue[BaseException | None]) -> None:
        if address == STARTED_HERE:
            # A scheduler sends SIGTERM to every process of the group. Ray shields those it starts
            # from SIGINT alone; they would take the runs with them before these can stop.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            ray.init(
                address,
                include_dashboard=False if address == STARTED_HERE else None,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        except BaseException as error:
            answer.put(error)
            return
        answer.put(None)
        self._closed.wait()  # the processes Ray starts here die with the thread that started them

    def close(self) -> bool:
        """Leave the cluster if we joined it, which ends all our tasks; whether that is so."""
        if self._joined and not self._closed.is_set():
            ray.shutdown()
            self._closed.set()
        return self._joined


def _reach(address: str) -> None:
    """Raise ConfigError when nobody listens."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise _unreachable(f"{address!r} is not an address")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(f"no Ray cluster at {address!r}: {error}") from None


def _unreachable(message: str) -> ConfigError:
    hint = (
        "HOST:PORT as `ray start --head` prints it, or auto, on a machine that is part of the "
        "cluster;\na cluster with token authentication wants RAY_AUTH_MODE=token here too"
    )
    return ConfigError([Problem("ray-address", message, hint)])


def _nodes() -> list[dict[str, float]]:
    """What each living node has in all, by the name of the resource."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _fits(node: dict[str, float], resources: Resources) -> int:
    wanted = zip(("CPU", "GPU"), resources, strict=True)
    return min(int(node.get(name, 0) / amount + 1e-9) for name, amount in wanted if amount)


def _no_room(resources: Resources) -> str:
    def words(cpus: float, gpus: float) -> str:
        return f"{cpus:g} CPUs and {gpus:g} GPUs"

    nodes = {words(node.get("CPU", 0), node.get("GPU", 0)) for node in _nodes()}
    return (
        f"no node of the Ray cluster can give a run {words(*resources)}; there are nodes of "
        f"{', of '.join(sorted(nodes))} (change runtime.cpus, runtime.gpus or runtime.threads)"
    )


def _first_sentence(error: BaseException) -> str:
    text = " ".join(str(error).split()).partition(". ")[0]
    return f"{type(error).__name__}: {text}"[:300] if text else type(error).__name__


# -- what happens on the nodes ----------------------------------------------------------------


class _Coordinator:
    """Sits beside the driver: runs ask it whether to stop, and for data their node lacks."""

    def __init__(self) -> None:
        self._stopping = False
        self._data: dict[str, Any] = {}

    def stop(self) -> None:
        """From now on, every run is to stop."""
        self._stopping = True

    def stopping(self) -> bool:
        """Whether to stop."""
        return self._stopping

    def data(self, path: str) -> list[Any]:
        """A prepared folder as a ``RawDataset``, by reference: in a list Ray does not fetch it."""
        if path not in self._data:
            self._data[path] = ray.put(load(Path(path)).raw())
        return [self._data[path]]


class _StopFlag:
    """A ``should_stop`` that costs nothing at most steps and never waits for an answer."""

    def __init__(self, coordinator: Any):
        self._coordinator, self._stop = coordinator, False
        self._answer, self._next = coordinator.stopping.remote(), 0.0

    def __call__(self) -> bool:
        now = time.monotonic()
        if now >= self._next and not self._stop:
            self._next = now + ASK_SECONDS
            if ray.wait([self._answer], timeout=0)[0]:
                self._stop = ray.get(self._answer)
                self._answer = self._coordinator.stopping.remote()
        return self._stop


def _train(
    task: Task, data: tuple[str, str], driver: dict[str, Any], coordinator: Any
) -> Iterator[Event]:
    """The events of a run, on whatever node this is.

    data: the dataset's name and fingerprint. driver: the ``environment()`` there.
    """
    here = environment()

    def dataset() -> Dataset:
        _check_versions(here, driver)
        return adopt(*data, lambda: ray.get(ray.get(coordinator.data.remote(task.dataset))[0]))

    for _, event in run_task(task, dataset, _StopFlag(coordinator)):
        yield replace(event, environment=here) if isinstance(event, Started) else event


def _check_versions(here: dict[str, Any], driver: dict[str, Any]) -> None:
    """Raise NormbenchError where other versions would give other numbers."""
    ours = {**here["packages"], "normbench": here["normbench"]}
    theirs = {**driver["packages"], "normbench": driver["normbench"]}

    def public(version: str | None) -> str:
        # A head without a GPU may have the build for CPUs. What is absent has no version.
        return "no" if version is None else version.partition("+")[0]

    names = [name for name in theirs if public(ours.get(name)) != public(theirs[name])]
    if names:
        raise NormbenchError(
            "this node has "
            + ", ".join(f"{n} {ours.get(n) or 'missing'} (not {theirs[n] or 'any'})" for n in names)
            + "; install the driver's versions on every node"
        )
