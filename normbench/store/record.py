"""Everything the store knows of one run, for a page about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from normbench.dotted import flatten_config
from normbench.store.experiment import ExperimentStore
from normbench.store.files import parsed, read_json_lines, reported
from normbench.store.run import MANIFEST_KEYS, RunStore


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
    path = store.path / folder
    with reported(path, "read"):
        manifest = RunStore(path).read_manifest(MANIFEST_KEYS) or {}
        config = _config(path / "config.yaml")
        events = read_json_lines(path / "metrics.jsonl")
    if manifest.get("state") == "running" and not store.in_use():
        manifest["state"] = "interrupted"  # its process died
    own, whole = flatten_config(config), flatten_config(store.read_plan()["config"])
    both = own.keys() & whole.keys()
    differs = {key: (own[key], whole[key]) for key in own if key in both and own[key] != whole[key]}
    return RunRecord(
        store.name, folder, manifest, config, differs, len(both) - len(differs), events
    )


def _config(path: Path) -> dict[str, Any]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    with parsed(path):
        try:
            return dict(yaml.safe_load(content))
        except (yaml.YAMLError, TypeError) as error:
            raise ValueError("not a config") from error
