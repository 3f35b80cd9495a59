"""The record of an experiment, made again from what its runs say of themselves.

For when record and copy are both lost. What no run knows is how the experiment was to be judged:
target, verdict and baseline become those of a config that names none, and the tables say so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from normbench.errors import StoreError
from normbench.store.experiment import ExperimentStore
from normbench.store.files import Damaged
from normbench.store.record import read_config
from normbench.store.run import MANIFEST_KEYS

Resolve = Callable[[dict[str, Any]], dict[str, Any]]
"""The tree of an experiment's config -> the same, checked and with every default."""


def rebuild(store: ExperimentStore, resolve: Resolve) -> int:
    """Write record and copy from the runs that can be read; how many those are.

    Raises StoreError where there is none, or where they searched own best values: which runs then
    stand for a norm, the record alone knew.
    """
    runs = _readable(store)
    if not runs:
        raise StoreError(
            f"no run in {store.path} tells what the experiment was\n"
            "    `normbench train` with its config writes the record anew"
        )
    if any(manifest.get("role") in ("tune", "best") for manifest, _ in runs.values()):
        raise StoreError(
            f"the record of {store.path} cannot be rebuilt: its runs searched own best values\n"
            "    `normbench train` with its config writes it anew and keeps the runs"
        )
    config = resolve(_tree(store.name, list(runs.values())))
    entries = [_entry(folder, manifest) for folder, (manifest, _) in runs.items()]
    store.write_record({**store.plan(config, entries), "rebuilt": True})
    return len(runs)


Run = tuple[dict[str, Any], dict[str, Any]]
"""A run's manifest, and its resolved config."""


def _readable(store: ExperimentStore) -> dict[str, Run]:
    """The runs whose files are what was written, by folder, in the order of a plan."""
    runs = {}
    for folder in store.folders():
        run = store.run(folder)
        manifest = run.known_manifest()
        try:
            config = read_config(run.path)
        except Damaged:
            continue
        if run.fault() is None and manifest.keys() >= {*MANIFEST_KEYS, "role", "point"} and config:
            runs[folder] = (manifest, config)
    order = {folder: (m["seed"], m["norm"], folder) for folder, (m, _) in runs.items()}
    return {folder: runs[folder] for folder in sorted(runs, key=order.__getitem__)}


def _tree(name: str, runs: list[Run]) -> dict[str, Any]:
    """The experiment's config, as far as its runs know it."""
    reported = [(m, c) for m, c in runs if m["role"] == "report"] or runs
    _, first = reported[0]
    tree = {key: value for key, value in first.items() if key not in ("norm", "seed")}
    norms: dict[str, Any] = {}
    sweep: dict[str, list[Any]] = {}
    for manifest, config in reported:
        norms.setdefault(manifest["norm"], config["norm"])
        for key, value in manifest["point"].items():
            if value not in sweep.setdefault(key, []):
                sweep[key].append(value)
    seeds = sorted({manifest["seed"] for manifest, _ in reported})
    return {
        "name": name, **tree, "norms": [norms[label] for label in sorted(norms)],
        "seeds": seeds, "sweep": {key: _in_order(values) for key, values in sweep.items()},
    }  # fmt: skip


def _in_order(values: list[Any]) -> list[Any]:
    numbers = all(isinstance(value, int | float) for value in values)
    return sorted(values) if numbers else values


def _entry(folder: str, manifest: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: manifest[key] for key in ("norm", "method", "point", "seed", "role", "context")}
    return {"folder": folder, **kept, "tuned": {}}
