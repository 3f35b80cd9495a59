"""Which runs on disk belong to a config, and which were made for another one of the same name.

A run belongs if the plan names its folder, or if its norm's definition (``method``) and everything
else but the seed (``context``) are those of a planned run, as the hashes in its manifest say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from normbench.store.experiment import ExperimentStore


@dataclass(frozen=True)
class Earlier:
    """Folders of runs on disk, each in order of its name: those that count, and the others.

    norms: of the others, each once.
    """

    count: list[str]
    stale: list[str]
    norms: list[str]


def earlier(store: ExperimentStore, planned: Iterable[Mapping[str, Any]]) -> Earlier:
    """The runs on disk held against planned ones (``PlannedRun.record``). Raises StoreError."""
    records = list(planned)
    folders = {record.get("folder") for record in records}
    kinds = {(record.get("context"), record.get("method")) for record in records}
    count: list[str] = []
    stale: list[str] = []
    norms: dict[str, None] = {}
    for folder in store.folders():
        manifest = store.run(folder).known_manifest()
        if folder in folders or (manifest.get("context"), manifest.get("method")) in kinds:
            count.append(folder)
        else:
            stale.append(folder)
            norms[str(manifest.get("norm"))] = None
    return Earlier(count, stale, list(norms))


def stale_runs(store: ExperimentStore) -> list[str]:
    """The runs that do not belong to what was last asked for under this name.

    Raises StoreError.
    """
    return earlier(store, _known(store.read_plan()["runs"])).stale


def left_behind(
    store: ExperimentStore, config: Mapping[str, Any], planned: Sequence[Mapping[str, Any]]
) -> Earlier | None:
    """What becomes of the runs on disk when ``config``, resolved, is asked for next.

    planned: its runs. None where no run that counted so far stops to count. Raises StoreError.
    """
    before = store.known_plan()
    if before is None or before["config"] == config:
        return None
    counted = set(earlier(store, _known(before["runs"])).count)
    left = earlier(store, planned)
    return left if counted.intersection(left.stale) else None


def _known(runs: Iterable[Any]) -> list[Mapping[str, Any]]:
    return [run for run in runs if isinstance(run, Mapping)]
