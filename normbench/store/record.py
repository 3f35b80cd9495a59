"""Everything the store knows of one run, for a page about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from normbench.dotted import flatten_config
from normbench.store.experiment import ExperimentStore
from normbench.store.files import Damaged, read_bytes, reported
from normbench.store.run import MANIFEST_KEYS
from normbench.store.seal import check_unsealed


@dataclass(frozen=True)
class RunRecord:
    """One run as it stands on disk.

    config: resolved. differs: dotted key -> (its value here, its value in the experiment's
    config), for keys of both. shared: how many keys are the same in both. events: the lines of
    metrics.jsonl.
    """

    experiment: str
    run: str
    manifest: Mapping[str, Any]
    config: Mapping[str, Any]
    differs: Mapping[str, tuple[Any, Any]]
    shared: int
    events: list[dict[str, Any]]

    def of(self, kind: str) -> list[dict[str, Any]]:
        """The events of one kind: eval, epoch, test or diverged."""
        return [event for event in self.events if event["event"] == kind]


def read_record(store: ExperimentStore, folder: str) -> RunRecord:
    """The run in ``folder`` of an experiment. Raises StoreError."""
    run = store.run(folder)
    with reported(run.path, "read"):
        manifest = run.read_manifest(MANIFEST_KEYS) or {}
        seal = run.seal(manifest)
        if seal is not None:
            seal.check_all()
        config = read_config(run.path)
        events = run.events("metrics", seal)
        if run.ended and seal is None:
            check_unsealed(events, run.journal("metrics"))
    if manifest.get("state") == "running" and not store.in_use():
        manifest["state"] = "interrupted"  # its process died
    own, whole = flatten_config(config), flatten_config(store.read_plan()["config"])
    both = own.keys() & whole.keys()
    differs = {key: (own[key], whole[key]) for key in own if key in both and own[key] != whole[key]}
    return RunRecord(
        store.name, folder, manifest, config, differs, len(both) - len(differs), events
    )


def read_config(folder: Path) -> dict[str, Any]:
    """The resolved config of a run, {} where there is none. Raises Damaged, OSError."""
    path = folder / "config.yaml"
    content = read_bytes(path)
    if content is None:
        return {}
    try:
        config = yaml.safe_load(content)
    except (yaml.YAMLError, ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise Damaged(path, "not a config")
    return config
