"""What an executor is: it trains runs somewhere and streams their events back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from normbench.training.events import Event


@dataclass(frozen=True)
class Task:
    """A run to train, in plain values that travel between processes.

    key: its name in the plan; config: ``RunConfig.resolved()``; dataset: path of the prepared
    dataset; resume: the checkpoint to continue from; stacked_with: runs to train in step with it,
    which differ from it in the seed and stand where it stands; components: what the caller
    registered that no worker could import, as ``components.pack`` packs it.
    """

    key: str
    config: dict[str, Any]
    dataset: str
    resume: bytes | None = None
    stacked_with: tuple[Task, ...] = ()
    components: bytes | None = None

    @property
    def runs(self) -> tuple[Task, ...]:
        """Itself and those it is stacked with."""
        return (self, *self.stacked_with)


class Executor(Protocol):
    """Trains tasks in isolation from each other and from the caller."""

    def run(self, tasks: Iterable[Task]) -> Iterator[tuple[str, Event] | None]:
        """Train all tasks; yield (key, event) in each run's own order.

        Yields None now and then while nothing happens, so that the caller can look around. Each
        run ends with ``Finished``, ``Stopped`` or ``Failed``; one that crashes, or whose process
        dies, is ``Failed`` and the others go on. Tasks are taken from the iterable as they are
        needed.
        """
        ...

    def stop(self) -> None:
        """Ask every run to checkpoint and stop after its current step; start no others."""
        ...

    def close(self) -> None:
        """End all workers, whatever they are doing."""
        ...
